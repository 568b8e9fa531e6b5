use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Player {
    #[property(1, redundant)]
    score: u32,
    #[property(2, quantize = 0.01, interpolate)]
    place: [f32; 3],
    #[property(3, round = 360.0, ephemeral = 2)]
    heading: f32,
    #[property(unreliable, 4)]
    speed: f32,
}

fn main() {}
