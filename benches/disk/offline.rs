//! How soon a day without a relay is merged, by a peer that was begun again since.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use parlor::proto::id::Identity;
use parlor::proto::model::handle::ModelRef;
use parlor::room::{ConnectOptions, Room, SharedStore};
use parlor::store::{DiskStore, DiskStoreConfig};
use tokio::time::timeout;

use crate::Failure;
use crate::report::Report;
use crate::stage::{Hall, KEY, PATIENCE, Page, Stage};

/// Models that the room has before, which are written to.
const PAGES: usize = 50;

/// How often the peer is begun again while there is no relay.
const LIVES: usize = 2;

/// A peer that keeps its room, as a process of its own would begin it: with its store opened anew.
fn begin(folder: &Path, relay: &[&str]) -> Result<Room<Hall>, Failure> {
    let store = DiskStore::open(&folder.join("own"), DiskStoreConfig::default())?;
    let store: SharedStore = Arc::new(Mutex::new(store));
    let mut options = ConnectOptions::new("day", KEY, relay);
    options.identity = Some(Identity::from_seed([2; 32]));
    options.store = Some(store);
    Ok(Room::connect(options)?)
}

/// One edit of a kind that changes from one to the next, as a change of its own.
fn edit(room: &mut Room<Hall>, pages: &[ModelRef<Page>], number: usize) -> Result<(), Failure> {
    match number % 4 {
        0 => room.update_root(|hall: &mut Hall| hall.count += 1)?,
        1 => {
            let notes = room.root().notes.clone();
            notes.insert(room, 0, "x")?;
        }
        2 if number % 40 == 2 => {
            let pages = room.root().pages.clone();
            pages.add(room, Page { text: format!("new {number}") })?;
        }
        _ => {
            let page = &pages[number % pages.len()];
            room.update(page, |page: &mut Page| page.text = format!("edit {number}"))?;
        }
    }
    room.flush();
    Ok(())
}

/// So many edits without a relay, in two lives; then the relay is there again, at which somebody else has
/// written meanwhile.
pub(crate) async fn merge(folder: &Path, edits: usize) -> Result<Report, Failure> {
    let stage = Stage::begin(folder, 1).await?;
    let relay = [stage.address()];
    let mut room = begin(folder, &relay)?;
    timeout(PATIENCE, room.ready()).await??;
    let (notes, pages) = (room.root().notes.clone(), room.root().pages.clone());
    for number in 0..PAGES {
        pages.add(&mut room, Page { text: number.to_string() })?;
    }
    room.durable(PATIENCE).await?;
    room.stored(PATIENCE).await?;
    drop(room);
    let mut other = Box::pin(stage.enter("day")).await?;
    for _ in 0..LIVES {
        let mut room = begin(folder, &[])?;
        let those: Vec<ModelRef<Page>> = pages.iter(&room).map(|(page, _)| page).collect();
        for number in 0..edits / LIVES {
            edit(&mut room, &those, number)?;
        }
        room.stored(PATIENCE).await?;
        drop(room);
    }
    notes.insert(&mut other, 0, "meanwhile ")?;
    other.durable(PATIENCE).await?;
    let began = Instant::now();
    let mut room = begin(folder, &relay)?;
    let opened = began.elapsed();
    let count = room.root().count;
    timeout(PATIENCE, room.ready()).await??;
    let ready = began.elapsed();
    if !room.settled(PATIENCE).await {
        return Err("the relay does not have the edits".into());
    }
    let told = began.elapsed();
    let models = pages.len(&room);
    while other.root().count != count || pages.len(&other) != models {
        if began.elapsed() > PATIENCE {
            return Err("what was written offline does not come to others".into());
        }
        other.wait(Duration::from_millis(1)).await;
    }
    let merged = began.elapsed();
    if notes.read(&room) != notes.read(&other) || !notes.read(&room).contains("meanwhile") {
        return Err("the two are not the same".into());
    }
    drop((room, other));
    stage.end().await?;
    Ok(Report::Offline { edits, opened, ready, told, merged })
}
