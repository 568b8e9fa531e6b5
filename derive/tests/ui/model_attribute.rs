use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
#[model(name = 3, colour, retired = 4)]
#[model(crate = "not a path")]
struct Player {
    #[property(1)]
    name: String,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
#[model(name = "", name = "B")]
struct Team {}

fn main() {}
