use parlor::proto::model::property::Counter;
use parlor::{Model, RealtimeSet, Text};

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Player {
    #[property(1, unreliable)]
    name: String,
    #[property(2, unreliable)]
    score: Counter,
    #[property(3, unreliable)]
    notes: Text,
    #[property(4, unreliable)]
    friends: RealtimeSet<Player>,
    #[property(5, unreliable, ephemeral = 2.0)]
    word: Option<String>,
}

fn main() {}
