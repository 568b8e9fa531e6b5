use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Player {
    #[property(1, unreliable, redundant, redundant)]
    twice: u32,
    #[property(2, unreliable = true)]
    alone: u32,
    #[property(3, unreliable, interpolate(2))]
    also_alone: u32,
    #[property(4, unreliable, lossy)]
    unknown: u32,
    #[property(5, unreliable, ephemeral)]
    how_long: u32,
    #[property(6, unreliable, ephemeral = 0)]
    no_time: u32,
    #[property(7, unreliable, ephemeral = 1e-9)]
    hardly_a_time: u32,
    #[property(8, unreliable, round = -360.0)]
    backwards: f32,
    #[property(9, unreliable, round = std::f32::consts::TAU)]
    no_literal: f32,
    #[property(10, unreliable, round = 1e999)]
    infinite: f32,
    #[property(11, unreliable, 0.5)]
    no_word: f32,
}

fn main() {}
