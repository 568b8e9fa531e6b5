use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Player {
    #[property(1)]
    name: String,
    #[property(2)]
    score: u32,
    #[property(1)]
    team: u32,
}

fn main() {}
