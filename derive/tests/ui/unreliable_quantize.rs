use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Player {
    #[property(1, unreliable, quantize)]
    nothing: f32,
    #[property(2, unreliable, quantize = 0.0)]
    zero: f32,
    #[property(3, unreliable, quantize = "0.01")]
    text: f32,
    #[property(4, unreliable, quantize(0.01))]
    list: f32,
    #[property(5, unreliable, quantize(bits = 10))]
    no_range: f32,
    #[property(6, unreliable, quantize(range = 0..=1))]
    no_bits: f32,
    #[property(7, unreliable, quantize(bits = 25, range = 0..=1))]
    many_bits: f32,
    #[property(8, unreliable, quantize(bits = 0, range = 0..=1))]
    few_bits: f32,
    #[property(9, unreliable, quantize(bits = 8, range = 0..1))]
    half_open: f32,
    #[property(10, unreliable, quantize(bits = 8, range = 1.0..=-1.0))]
    backwards: f32,
    #[property(11, unreliable, quantize(bits = 8, bits = 9, range = 0..=1))]
    twice: f32,
    #[property(12, unreliable, quantize(bits = 8, range = 0..=360), round = 360)]
    with_ends: f32,
}

fn main() {}
