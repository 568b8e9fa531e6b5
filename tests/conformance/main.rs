//! The vectors of `datastore-spec/vectors`: what the bytes and the decisions are.
//!
//! Without `UPDATE` every case is computed and compared with the file; with `UPDATE=1` the files are
//! written. Read the difference before you commit it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[cfg(feature = "audio")]
mod audio;
mod columns;
mod company;
mod deltas;
mod documents;
mod epochs;
mod identity;
mod near;
mod owners;
mod ownership;
mod passages;
mod readme;
mod realtime;
mod refused;
#[cfg(feature = "audio")]
mod reported;
mod rooms;
mod scripts;
mod session;
mod signals;
#[cfg(feature = "audio")]
mod speaking;
mod stage;
mod state;
mod timeline;
mod tokens;
mod variants;
mod vectors;
mod voices;
mod wall;
mod wellknown;
mod wire;
mod world;
