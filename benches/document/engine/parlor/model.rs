//! The models of the room, and their properties by number.

use parlor::{Model, RealtimeSet, Text};

use crate::content::{Object, Tally, Value};

/// The room.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Space {
    #[property(1)]
    pub(crate) things: RealtimeSet<Thing>,
    #[property(2)]
    pub(crate) movers: RealtimeSet<Mover>,
    #[property(3)]
    pub(crate) text: Text,
}

/// An object of ten properties.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Thing {
    #[property(1)]
    pub(crate) float0: f64,
    #[property(2)]
    pub(crate) float1: f64,
    #[property(3)]
    pub(crate) float2: f64,
    #[property(4)]
    pub(crate) integer0: i64,
    #[property(5)]
    pub(crate) integer1: i64,
    #[property(6)]
    pub(crate) integer2: i64,
    #[property(7)]
    pub(crate) flag0: bool,
    #[property(8)]
    pub(crate) flag1: bool,
    #[property(9)]
    pub(crate) text0: String,
    #[property(10)]
    pub(crate) text1: String,
}

/// An object that moves.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Mover {
    #[property(1)]
    pub(crate) transform: Vec<u8>,
}

/// The model of an object.
pub(crate) fn thing(object: &Object) -> Thing {
    let [float0, float1, float2] = object.floats;
    let [integer0, integer1, integer2] = object.integers;
    let [flag0, flag1] = object.flags;
    let [text0, text1] = object.texts.clone();
    Thing { float0, float1, float2, integer0, integer1, integer2, flag0, flag1, text0, text1 }
}

/// Gives a property a value.
pub(super) fn assign(thing: &mut Thing, property: usize, value: &Value) {
    match (property, value) {
        (0, Value::Float(float)) => thing.float0 = *float,
        (1, Value::Float(float)) => thing.float1 = *float,
        (2, Value::Float(float)) => thing.float2 = *float,
        (3, Value::Integer(number)) => thing.integer0 = *number,
        (4, Value::Integer(number)) => thing.integer1 = *number,
        (5, Value::Integer(number)) => thing.integer2 = *number,
        (6, Value::Flag(flag)) => thing.flag0 = *flag,
        (7, Value::Flag(flag)) => thing.flag1 = *flag,
        (8, Value::Text(text)) => thing.text0.clone_from(text),
        (9, Value::Text(text)) => thing.text1.clone_from(text),
        _ => {}
    }
}

/// Counts every property.
pub(super) fn read(tally: &mut Tally, thing: &Thing) {
    tally.number(0, thing.float0);
    tally.number(1, thing.float1);
    tally.number(2, thing.float2);
    tally.integer(3, thing.integer0);
    tally.integer(4, thing.integer1);
    tally.integer(5, thing.integer2);
    tally.flag(6, thing.flag0);
    tally.flag(7, thing.flag1);
    tally.bytes(8, thing.text0.as_bytes());
    tally.bytes(9, thing.text1.as_bytes());
}
