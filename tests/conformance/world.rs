//! The models of the vectors.

use parlor::proto::model::handle::{
    Child, ModelRef, RealtimeDictionary, RealtimeList, RealtimeSet, Text,
};
use parlor::proto::model::property::Counter;
use parlor::{Choice, Model};

#[derive(Choice, Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Colour {
    #[default]
    Red,
    Green = 5,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
pub(crate) struct Lobby {
    #[property(1)]
    pub(crate) title: String,
    #[property(2)]
    pub(crate) open: bool,
    #[property(3)]
    pub(crate) floor: i32,
    #[property(4)]
    pub(crate) capacity: u64,
    #[property(5)]
    pub(crate) volume: f32,
    #[property(6)]
    pub(crate) speed: f64,
    #[property(7)]
    pub(crate) icon: Vec<u8>,
    #[property(8)]
    pub(crate) spawn: [f32; 3],
    #[property(9)]
    pub(crate) limit: Option<u8>,
    #[property(10)]
    pub(crate) theme: Colour,
    #[property(11)]
    pub(crate) host: ModelRef<Item>,
    #[property(12)]
    pub(crate) visits: Counter,
    #[property(13)]
    pub(crate) notes: Text,
    #[property(14)]
    pub(crate) place: Child<Item>,
    #[property(15)]
    pub(crate) items: RealtimeSet<Item>,
    #[property(16)]
    pub(crate) doors: RealtimeDictionary<String, Item>,
    #[property(17)]
    pub(crate) seats: RealtimeList<Seat>,
    #[property(18)]
    pub(crate) desks: RealtimeDictionary<String, Seat>,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
pub(crate) struct Item {
    #[property(1)]
    pub(crate) label: String,
    #[property(2)]
    pub(crate) count: u32,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
pub(crate) struct Seat {
    #[property(1)]
    pub(crate) label: String,
    #[property(2)]
    pub(crate) note: Text,
    #[property(3)]
    pub(crate) sat: Counter,
}

/// A later version of the models.
pub(crate) mod later {
    use parlor::Model;

    #[derive(Model, Clone, Debug, Default, PartialEq)]
    pub(crate) struct Item {
        #[property(1)]
        pub(crate) label: String,
        #[property(3)]
        pub(crate) weight: f32,
    }
}
