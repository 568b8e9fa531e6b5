//! In place of `hatch` where there are no sockets in folders: a relay that runs takes no orders.

use std::io;
use std::path::Path;

use parlor::store::disk::Progress;

use super::clerk::Clerk;
use super::order::{Order, Outcome};
use crate::failure::Failure;

#[derive(Debug)]
pub(crate) struct Hatch;

impl Hatch {
    pub(crate) fn open(_: &Path, _: Clerk) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[expect(clippy::unused_async, reason = "as where there is one")]
    pub(crate) async fn close(self) {}
}

pub(super) fn ask(
    _: &Path,
    _: &Order,
    in_use: impl Fn(&str) -> Failure,
    _: impl FnMut(Progress),
) -> Result<Outcome, Failure> {
    Err(in_use("relays on this system take none"))
}
