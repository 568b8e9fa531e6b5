use parlor::Model;

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Pair(#[property(1)] u32, #[property(2)] u32);

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Unit;

#[derive(Model, Clone, Debug, PartialEq)]
enum Shape {
    Square,
}

#[derive(Model)]
union Number {
    small: u32,
    large: u64,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Generic<T> {
    #[property(1)]
    field: T,
}

fn main() {}
