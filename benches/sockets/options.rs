//! What benchmarks over sockets are told alike.

use clap::Args;

/// For how long, from which seed, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// How long is measured, each, in seconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u32,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where chance begins.
    #[arg(long, default_value_t = 20)]
    pub(crate) seed: u64,
}
