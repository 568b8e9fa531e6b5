use parlor::Choice;

#[derive(Choice, Clone, Debug, Default, PartialEq)]
struct Suit {
    high: bool,
}

#[derive(Choice)]
union Number {
    small: u32,
    large: u64,
}

#[derive(Choice)]
#[choice(retired(3), name = "Of")]
enum Of<const N: usize> {
    One,
    Other,
}

fn main() {}
