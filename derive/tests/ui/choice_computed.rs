use parlor::Choice;

const BELOW: isize = -1;

#[derive(Choice, Clone, Debug, Default, PartialEq)]
enum Suit {
    #[default]
    Clubs,
    Hearts = BELOW,
}

fn main() {}
