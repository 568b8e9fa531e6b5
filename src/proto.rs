//! The wall: everything that has a rule in it. Pure: no clock, no entropy, no tokio, no libp2p.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm
)]

pub mod audio;
pub mod authorisation;
pub mod authorship;
pub mod base;
pub mod bucket;
pub mod change;
pub mod channel;
pub mod clock;
pub mod config;
pub mod cut;
pub mod datastore;
pub mod delta;
pub mod dialogue;
pub mod document;
pub mod draft;
pub mod event;
pub mod feed;
pub mod guard;
pub mod hub;
pub mod id;
pub mod image;
pub mod lane;
pub mod lobby;
pub mod log;
pub mod model;
pub mod motion;
pub mod ownership;
pub mod peer;
pub mod proof;
pub mod reason;
pub mod service;
pub mod state;
pub mod statistics;
pub mod table;
pub mod time;
pub mod token;
pub mod wire;
