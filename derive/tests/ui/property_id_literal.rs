use parlor::Model;

const SCORE: u16 = 2;

#[derive(Model, Clone, Debug, Default, PartialEq)]
#[model(retired(SCORE))]
struct Player {
    #[property("1")]
    name: String,
    #[property(SCORE)]
    score: u32,
    #[property(-3)]
    team: u32,
    #[property(4.0)]
    place: u32,
}

fn main() {}
