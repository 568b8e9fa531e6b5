use parlor::{Model, Quaternion};

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Player {
    #[property(1, unreliable)]
    mood: Option<u8>,
    #[property(2, unreliable, quantize = 0.5)]
    ready: bool,
    #[property(3, unreliable, round = 2.0)]
    place: [f32; 3],
    #[property(4, unreliable, quantize = 0.5)]
    turn: Quaternion,
    #[property(5, unreliable, quantize(bits = 10, range = -1.0..=1.0))]
    other_turn: Quaternion,
    #[property(6, unreliable, round = 360.0, quantize = 1e-6)]
    heading: f32,
}

fn main() {}
