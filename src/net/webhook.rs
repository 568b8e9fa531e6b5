//! What a relay asks and tells an application's own server over HTTP: [`Authoriser`] asks whether a
//! peer may come in, [`Deliveries`] tells what happens in rooms.
//!
//! Requests are signed as Standard Webhooks, go to public addresses only, follow no redirect, and
//! use no proxy. What is asked is answered by no whenever no good answer comes.
//! `datastore-spec/admission.md` is what such a server goes by.

mod answer;
mod authoriser;
mod backlog;
mod cache;
mod config;
mod deliveries;
mod doorway;
mod event;
mod hooked;
mod post;
mod secret;
mod target;

pub use authoriser::Authoriser;
pub use backlog::DeliveryStatistics;
pub use config::WebhookConfig;
pub use deliveries::{Courier, Deliveries};
pub use event::Lifecycle;
pub use hooked::HookedHub;
pub use post::WebhookFault;
pub use secret::{WebhookSecret, WebhookSecretError};
pub use target::{Target, TargetError};
