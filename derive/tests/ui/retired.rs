use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
#[model(retired(3, 4), retired(3))]
#[model(retired(5))]
struct Player {
    #[property(4)]
    name: String,
    #[property(5)]
    score: u32,
}

fn main() {}
