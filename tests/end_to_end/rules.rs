//! A plugin of a relay, over sockets.

use std::time::Duration;

use bytes::Bytes;
use parlor::proto::config::HubConfig;
use parlor::proto::datastore::intent::Intent;
use parlor::proto::event::Event;
use parlor::proto::hub::{
    Act, Given, Hearing, Hub, HubEvent, Order, Plugin, Ruling, Update, Write,
};
use parlor::proto::id::Identity;
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::proto::time::Time;
use parlor::{Audience, Denial, Subject};

use super::{Guest, Host, LISTEN, Table, equal, signal, until, within};

/// Votes count threefold, nobody is called rude, and who comes in is on the list.
#[derive(Debug)]
struct House;

impl Plugin for House {
    fn judge(&mut self, update: &Update<'_>) -> Ruling {
        for write in &update.writes {
            match write {
                Write::Set { property: 1, after: Some(Value::Text(text)), .. }
                    if text == "rude" =>
                {
                    return Ruling::Refuse { place: write.place(), code: 403 };
                }
                Write::Count { model, property, before, after } if after != before => {
                    let (model, property, by) = (model.clone(), *property, 2 * (after - before));
                    return Ruling::Amend(vec![Intent::Count { model, property, by }]);
                }
                _ => {}
            }
        }
        Ruling::Accept
    }

    fn hear(&mut self, signal: &Given<'_>) -> Hearing {
        match signal.payload {
            b"rude" => Hearing::Stop,
            _ => Hearing::Say(Bytes::from_static(b"said")),
        }
    }

    fn told(&mut self, hub: &Hub, event: &HubEvent, _: Time) -> Vec<Order> {
        let HubEvent::Joined { room, client, .. } = event else { return Vec::new() };
        assert!(hub.view(room).is_some());
        let place = Path::root().property(2).join(&client.to_string());
        let guest = Guest { name: client.to_string() };
        vec![(room.clone(), Act::Write(Intent::creation(&place, guest, None)))]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_refuses_amends_and_acts() {
    let identity = Identity::from_seed([31; 32]);
    let rules = |hub: &mut Hub| hub.set_plugin(Box::new(House));
    let host = Box::pin(Host::start_with(&identity, &LISTEN, HubConfig::default(), rules)).await;
    let mut rooms: Vec<_> = (0..3).map(|_| host.room("house")).collect();
    for room in &mut rooms {
        within(room.ready()).await.unwrap();
    }
    until(&mut rooms, |rooms| {
        rooms.iter().all(|room| room.root().guests.len(room) == 3) && equal(rooms)
    })
    .await;
    rooms[0].update_root(|table: &mut Table| table.title = "rude".into()).unwrap();
    rooms[1].update_root(|table: &mut Table| table.votes += 1).unwrap();
    rooms[2].update_root(|table: &mut Table| table.votes += 2).unwrap();
    let name = || Subject::Name("call".to_owned());
    for said in [&b"rude"[..], b"kind"] {
        rooms[0].signal(Audience::Others, name(), Bytes::copy_from_slice(said)).unwrap();
    }
    let (mut told, mut heard) = (Vec::new(), Vec::new());
    within(async {
        let counted = |table: &Table| table.votes.get() == 9 && table.title.is_empty();
        while told.is_empty()
            || heard.len() < 2
            || !rooms.iter().all(|room| counted(room.root()))
            || !equal(&rooms)
        {
            for room in &mut rooms {
                room.wait(Duration::from_millis(5)).await;
                let events: Vec<_> = std::iter::from_fn(|| room.poll_event()).collect();
                told.extend(events.iter().filter_map(|event| match event {
                    Event::Refused { why, .. } => Some(*why),
                    _ => None,
                }));
                heard.extend(events.into_iter().filter_map(signal).map(|signal| signal.payload));
            }
        }
    })
    .await;
    assert_eq!(told, [Denial::Ruled { code: 403 }]);
    assert_eq!(heard, [&b"said"[..], b"said"]);
    host.stop().await;
}
