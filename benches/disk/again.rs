//! How fast what is on disk is there again.

use std::path::Path;
use std::time::{Duration, Instant};

use parlor::proto::id::{AppKey, RoomKey, RoomName};
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore};

use crate::Failure;
use crate::report::Report;
use crate::stage::{Hall, KEY, PATIENCE, Page, Stage};

/// Bytes of text in one model.
const PAGE: usize = 4_096;

/// Models that are made before it is waited until they are kept.
const AT_ONCE: usize = 16;

fn key(name: &str) -> Result<RoomKey, Failure> {
    Ok((AppKey::new(KEY)?.app(), RoomName::new(name)?))
}

/// A room of about so many bytes.
pub(crate) async fn large(folder: &Path, bytes: usize) -> Result<Report, Failure> {
    let stage = Stage::begin(folder, 1).await?;
    let mut room = Box::pin(stage.enter("large")).await?;
    let mut letters = (b'a'..=b'z').cycle();
    for batch in 0..bytes.div_ceil(PAGE * AT_ONCE) {
        for number in 0..AT_ONCE {
            let pages = room.root().pages.clone();
            let mut text = format!("{batch} {number} ");
            text.extend(letters.by_ref().take(PAGE).map(char::from));
            pages.add(&mut room, Page { text })?;
        }
        room.durable(PATIENCE).await?;
    }
    let models = room.root().pages.len(&room);
    drop(room);
    stage.end().await?;
    let began = Instant::now();
    let mut store = DiskStore::open(&folder.join("rooms"), DiskStoreConfig::default())?;
    let opened = began.elapsed();
    let kept = store.fetch(&key("large")?)?.ok_or("the room is not there")?;
    let fetched = began.elapsed();
    drop(store);
    let stage = Stage::begin(folder, 2).await?;
    let began = Instant::now();
    let room = Box::pin(stage.enter("large")).await?;
    let ready = began.elapsed();
    if room.root().pages.len(&room) != models {
        return Err("not all of it is there".into());
    }
    drop(room);
    stage.end().await?;
    Ok(Report::Again { rooms: 1, bytes: kept.bytes(), opened, fetched, ready })
}

/// So many small rooms, one of which is opened.
pub(crate) async fn many(folder: &Path, rooms: usize) -> Result<Report, Failure> {
    let stage = Stage::begin(folder, 1).await?;
    for number in 0..rooms {
        let mut room = Box::pin(stage.enter(&format!("room {number}"))).await?;
        room.update_root(|hall: &mut Hall| hall.count = 7)?;
        let notes = room.root().notes.clone();
        notes.insert(&mut room, 0, "hello, and so on, for as long as a small room is")?;
        room.durable(PATIENCE).await?;
        room.leave();
        room.wait(Duration::from_millis(1)).await;
    }
    stage.end().await?;
    let began = Instant::now();
    let mut store = DiskStore::open(&folder.join("rooms"), DiskStoreConfig::default())?;
    let opened = began.elapsed();
    let kept = store.fetch(&key("room 0")?)?.ok_or("the room is not there")?;
    let fetched = began.elapsed();
    drop(store);
    let began = Instant::now();
    let stage = Stage::begin(folder, 2).await?;
    let room = Box::pin(stage.enter(&format!("room {}", rooms / 2))).await?;
    let ready = began.elapsed();
    if room.root().count != 7 {
        return Err("not all of it is there".into());
    }
    drop(room);
    stage.end().await?;
    Ok(Report::Again { rooms, bytes: kept.bytes(), opened, fetched, ready })
}
