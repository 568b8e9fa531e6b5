//! The first sector of the file, of which there are two copies: what the file is, how long redb takes it
//! to be, and redb's own header, which says which of its trees count.

use std::io;

use thiserror::Error;

use super::PAGE;
use crate::proto::id::digest;
use crate::store::disk::medium::Medium;

/// What a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
/// The size of redb's header.
pub(super) const HEADER: usize = 320;
/// What a store begins with.
const MAGIC: [u8; 14] = *b"parlor rooms\x1a\n";
/// The version of all of the format.
pub(crate) const VERSION: u16 = 1;

/// Why pages are not read.
#[derive(Debug, Error)]
pub(in crate::store::disk) enum HeadError {
    /// It begins with something else.
    #[error("it is not a store")]
    Foreign,
    /// It is of a later version.
    #[error("it has version {0}")]
    Newer(u16),
    /// Neither copy is what was written.
    #[error("its first sector is damaged, and so is the copy")]
    Damaged,
    /// It cannot be read.
    #[error(transparent)]
    Medium(#[from] io::Error),
}

#[derive(Clone, Debug)]
pub(in crate::store::disk) struct Head {
    /// How often it was written.
    sequence: u64,
    /// How many bytes redb has.
    pub(super) len: u64,
    /// What redb has at its beginning.
    pub(super) header: [u8; HEADER],
}

impl Head {
    /// The newer of the two copies that are good; and whether both can be read and say the same. An empty
    /// medium has one that says nothing.
    pub(super) fn read(medium: &mut dyn Medium) -> Result<(Self, bool), HeadError> {
        if medium.size()? == 0 {
            return Ok((Self { sequence: 0, len: 0, header: [0; HEADER] }, true));
        }
        let mut copies = [[0; SECTOR]; 2];
        let mut unread = None;
        for (place, copy) in [0, PAGE as u64].into_iter().zip(&mut copies) {
            if let Err(error) = medium.read_at(place, copy) {
                copy.fill(0);
                unread = Some(error);
            }
        }
        let is_whole = copies[0] == copies[1];
        let good = copies.iter().filter(|sector| sum(sector) == sector[SECTOR - 16..]);
        let newest = good.max_by_key(|sector| number(sector, 16));
        let Some(newest) = newest else {
            if let Some(error) = unread {
                return Err(error.into());
            }
            let is_store = copies.iter().any(|sector| sector.starts_with(&MAGIC));
            return Err(if is_store { HeadError::Damaged } else { HeadError::Foreign });
        };
        if !newest.starts_with(&MAGIC) {
            return Err(HeadError::Foreign);
        }
        let version = u16::from_le_bytes([newest[14], newest[15]]);
        if version != VERSION {
            return Err(HeadError::Newer(version));
        }
        let mut header = [0; HEADER];
        header.copy_from_slice(&newest[32..32 + HEADER]);
        Ok((Self { sequence: number(newest, 16), len: number(newest, 24), header }, is_whole))
    }

    /// What is written next.
    pub(super) fn next(&mut self) -> [u8; SECTOR] {
        self.sequence += 1;
        let mut sector = [0; SECTOR];
        sector[..14].copy_from_slice(&MAGIC);
        sector[14..16].copy_from_slice(&VERSION.to_le_bytes());
        sector[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        sector[24..32].copy_from_slice(&self.len.to_le_bytes());
        sector[32..32 + HEADER].copy_from_slice(&self.header);
        let sum = sum(&sector);
        sector[SECTOR - 16..].copy_from_slice(&sum);
        sector
    }
}

fn sum(sector: &[u8; SECTOR]) -> [u8; 16] {
    let mut sum = [0; 16];
    sum.copy_from_slice(&digest("parlor store head", &[&sector[..SECTOR - 16]])[..16]);
    sum
}

fn number(sector: &[u8; SECTOR], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&sector[at..at + 8]);
    u64::from_le_bytes(bytes)
}
