use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
#[model(retired(0, 65536))]
struct Player {
    #[property(0)]
    name: String,
    #[property(65536)]
    score: u32,
    #[property(99999999999999999999999999999999999999999)]
    team: u32,
    #[property(65535)]
    fine: u32,
}

fn main() {}
