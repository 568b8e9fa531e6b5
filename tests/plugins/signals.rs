//! What becomes of signals.

use bytes::Bytes;
use parlor::proto::hub::{Given, Hearing, HubEvent};
use parlor::sim::network::Network;
use parlor::{Audience, Event, Signalled, Subject};

use crate::SECOND;
use crate::court::{Court, accepts, seeds};

fn censors(signal: &Given<'_>) -> Hearing {
    match signal.payload {
        b"bad" => Hearing::Stop,
        b"shout" => Hearing::Say(Bytes::from_static(b"whisper")),
        b"long" => Hearing::Say(Bytes::from(vec![0; 1 << 20])),
        b"panic" => panic!("a plugin that panics"),
        _ => Hearing::Pass,
    }
}

fn give(court: &mut Court, peer: usize, to: Audience, said: &'static [u8], cast: bool) {
    let (subject, payload) = (Subject::Name("call".to_owned()), Bytes::from_static(said));
    court.world.edit(peer, |store| {
        if cast {
            store.cast(to, subject, payload).unwrap();
        } else {
            store.signal(to, subject, payload).unwrap();
        }
    });
}

fn said(events: &[(usize, Event)], peer: usize) -> Vec<Bytes> {
    let heard = events.iter().filter_map(|(of, event)| match event {
        Event::Signal(Signalled { payload, .. }) if *of == peer => Some(payload.clone()),
        _ => None,
    });
    heard.collect()
}

#[test]
fn signals_pass_are_stopped_or_say_something_else() {
    for seed in seeds(10, 100) {
        let mut court = Court::with(seed, Network::LOSSY, 3, (accepts, censors));
        let to = Audience::Peer(court.id(2));
        for payload in [&b"good"[..], b"bad", b"shout", b"long", b"panic"] {
            give(&mut court, 0, Audience::Others, payload, false);
            give(&mut court, 0, to, payload, false);
            give(&mut court, 0, Audience::Relay, payload, false);
        }
        court.world.take_relay_events();
        court.world.run(5 * SECOND);
        let events = court.world.take_events();
        let once = [&b"good"[..], b"whisper"];
        assert_eq!(said(&events, 1), once, "seed {seed}");
        let mut heard = said(&events, 2);
        heard.sort_unstable();
        assert_eq!(heard, [b"good", b"good", &b"whisper"[..], b"whisper"], "seed {seed}");
        let at_relay = court.world.take_relay_events().into_iter();
        let (told, failed): (Vec<_>, Vec<_>) =
            at_relay.partition(|event| matches!(event, HubEvent::Signal { .. }));
        let told = told.into_iter().map(|event| match event {
            HubEvent::Signal { signal, .. } => signal.payload,
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), once, "seed {seed}");
        let faults: Vec<_> = failed
            .iter()
            .map(|event| match event {
                HubEvent::PluginFailed { faults } => *faults,
                other => panic!("seed {seed}: {other:?}"),
            })
            .collect();
        assert_eq!(faults.last(), Some(&3), "seed {seed}");
        // Of those to one hearer what became is told: two sorts were heard, and three were not.
        let count = |is: fn(&Event) -> bool| {
            events.iter().filter(|(peer, event)| *peer == 0 && is(event)).count()
        };
        assert_eq!(count(|it| matches!(it, Event::SignalSettled { .. })), 4, "seed {seed}");
        assert_eq!(count(|it| matches!(it, Event::SignalLost { .. })), 6, "seed {seed}");
        assert_eq!(court.take_asked().signals.len(), 15, "seed {seed}: once each");
    }
}

#[test]
fn what_is_cast_is_asked_about_too() {
    let mut court = Court::with(1, Network::LAN, 2, (accepts, censors));
    for payload in [&b"good"[..], b"bad", b"shout"] {
        give(&mut court, 0, Audience::Others, payload, true);
    }
    court.world.run(SECOND);
    let events = court.world.take_events();
    let mut heard = said(&events, 1);
    heard.sort_unstable();
    assert_eq!(heard, [&b"good"[..], b"whisper"]);
    let asked = court.take_asked().signals;
    assert!(asked.len() == 3 && asked.iter().all(|(.., reliable)| !reliable), "{asked:?}");
}
