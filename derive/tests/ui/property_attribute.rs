use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Player {
    name: String,
    #[property(2)]
    #[property(3)]
    score: u32,
    #[property]
    team: u32,
    #[property()]
    place: u32,
    #[property(6, reliable)]
    speed: f32,
    #[property(7, lane = 2)]
    turn: f32,
}

fn main() {}
