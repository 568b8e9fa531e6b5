//! The application's own server, as a relay is told of it.

use std::path::PathBuf;

use clap::Args;

/// Whom a relay asks and tells. It holds for every application of the relay.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct HookArguments {
    /// Ask this https URL who may come into rooms. Without a good answer nobody does.
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    pub(crate) webhook_join: Option<String>,
    /// Tell this https URL what happens in rooms.
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    pub(crate) webhook_events: Option<String>,
    /// A file that holds what requests are signed with: `whsec_` and 24 to 64 bytes in base64.
    #[arg(long, value_name = "FILE")]
    pub(crate) webhook_secret_file: Option<PathBuf>,
    /// Let both be on this computer or in its network, and without TLS.
    #[arg(long)]
    pub(crate) webhook_inside: bool,
}
