use parlor::Choice;

#[derive(Choice, Clone, Debug, Default, PartialEq)]
#[repr(i8)]
enum Suit {
    #[default]
    Clubs,
    Hearts(u8),
    Spades { high: bool },
    Diamonds = -4,
}

#[derive(Choice)]
enum Nothing {}

fn main() {}
