//! A scene bound to a room: what stands in it, and where everything is to be shown.
//!
//! [`scene`] makes views of prefabs for everybody and builds what others made; [`transform`] and
//! [`smooth`] show what others move without jumps, by a [`timeline`] each. Nothing here knows an engine:
//! the host says what stands for a view, and when it draws.
//!
//! Pure, as [`proto`](crate::proto) is: time is an argument, and nothing is drawn or waited for.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm
)]

mod line;
pub mod scene;
pub mod smooth;
pub mod timeline;
pub mod transform;
pub mod view;
