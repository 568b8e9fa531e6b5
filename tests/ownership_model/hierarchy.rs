//! A parent model and a child below it, a relay and two clients: the outermost owner on the path
//! decides for everything below it.
//!
//! A client here is the worst that late, repeated and lost messages can make of one: it believes
//! whatever it was ever granted, at any time, and writes to the child under any of that. So it needs
//! no state but the count of its claims. What nobody owns anybody may write, and that is not here.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::terms::{Accepted, Boot, Client, Each, Nonce, ORDERED, Token, Write};

pub(crate) const SHELTERED: &str = "no write is accepted while another owns the parent";
pub(crate) const UNDISTURBED: &str =
    "no claim of the child is granted while another owns the parent";
const OVERRULED: &str = "the parent's owner writes while the grant of the child's owner sleeps";
const REVIVED: &str = "a write is accepted under a revived grant";

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The child's own grant decides, whoever owns the parent.
    ChildNotFenced,
    /// A grant that slept is good again for what was sent before.
    RevivedUnderOldToken,
    /// The child is granted whoever owns the parent.
    ClaimBelowAnother,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hierarchy {
    /// The last claim of each client. It bounds everything else.
    pub(crate) claims: Each<Nonce>,
    pub(crate) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Parent,
    Child,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct State {
    relay: Relay,
    /// The last claim of each client.
    claimed: Each<Nonce>,
    /// Whatever was ever sent: nothing leaves.
    network: BTreeSet<Message>,
    accepted: Accepted,
    /// Whether a write was ever accepted while another owned the parent.
    trespassed: bool,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Relay {
    /// The last token that was given, for either place.
    latest: Token,
    parent: Option<Grant>,
    /// It sleeps as long as there is a grant of the parent.
    child: Option<Grant>,
    /// The last claim of each client.
    heard: Each<Nonce>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    client: Client,
    nonce: Nonce,
    place: Place,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    owner: Client,
    token: Token,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Message {
    Claim(Claim),
    /// The answer to a claim.
    Grant(Place, Grant),
    /// The child's owner has it back.
    Revive(Grant),
    Release(Place, Grant),
    Write(Write),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Claim(Client, Place),
    Release(Place, Grant),
    /// To the child.
    Write(Grant),
    Leave(Client),
    Deliver(Message),
}

impl Model for Hierarchy {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            relay: Relay {
                latest: Token::before(Boot::FIRST),
                parent: None,
                child: None,
                heard: Each::default(),
            },
            claimed: Each::default(),
            network: BTreeSet::new(),
            accepted: Accepted::default(),
            trespassed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for client in Client::ALL {
            actions.extend([Place::Parent, Place::Child].map(|place| Action::Claim(client, place)));
            actions.push(Action::Leave(client));
        }
        for &message in &state.network {
            match message {
                Message::Grant(place, grant) => {
                    actions.extend([Action::Release(place, grant), Action::Write(grant)]);
                }
                Message::Revive(grant) => {
                    actions.extend([Action::Release(Place::Child, grant), Action::Write(grant)]);
                }
                Message::Claim(_) | Message::Release(..) | Message::Write(_) => {
                    actions.push(Action::Deliver(message));
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Claim(client, place) => state.claim(client, place),
            Action::Release(place, grant) => state.send(Message::Release(place, grant)),
            Action::Write(Grant { owner, token }) => {
                state.send(Message::Write(Write { writer: owner, token }));
            }
            Action::Leave(client) => self.on_leave(&mut state, client),
            Action::Deliver(Message::Claim(claim)) => self.on_claim(&mut state, claim),
            Action::Deliver(Message::Release(place, grant)) => {
                self.on_release(&mut state, place, grant);
            }
            Action::Deliver(Message::Write(write)) => self.on_write(&mut state, write),
            // A client has these as soon as they are sent.
            Action::Deliver(Message::Grant(..) | Message::Revive(_)) => {}
        }
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        Client::ALL.into_iter().all(|client| state.claimed[client] <= self.claims[client])
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ORDERED, |_, state: &State| !state.accepted.disordered),
            Property::always(SHELTERED, |_, state: &State| !state.trespassed),
            Property::always(UNDISTURBED, |_, state: &State| {
                let overruled = state.relay.overruled();
                overruled.is_none_or(|(parent, child)| child.token < parent.token)
            }),
            Property::sometimes(OVERRULED, |_, state: &State| {
                let last = state.accepted.last.map(|write| write.token);
                state.relay.overruled().is_some_and(|(parent, _)| last == Some(parent.token))
            }),
            Property::sometimes(REVIVED, |_, state: &State| {
                state.accepted.last.is_some_and(|Write { writer, token }| {
                    state.network.contains(&Message::Revive(Grant { owner: writer, token }))
                })
            }),
        ]
    }
}

/// The rules.
impl Hierarchy {
    fn lacks(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Either place goes to whoever claims it, but the child to nobody while another owns the parent.
    fn on_claim(&self, state: &mut State, Claim { client, nonce, place }: Claim) {
        let relay = &mut state.relay;
        if nonce <= relay.heard[client] {
            return;
        }
        relay.heard[client] = nonce;
        let above = if place == Place::Child { relay.parent } else { None };
        let refused = above.is_some_and(|parent| parent.owner != client);
        if refused && !self.lacks(Fault::ClaimBelowAnother) {
            return;
        }
        let grant = relay.give(client);
        *relay.at(place) = Some(grant);
        state.send(Message::Grant(place, grant));
    }

    /// Who lets go says of which grant, so that a late word does not end a later one.
    fn on_release(&self, state: &mut State, place: Place, grant: Grant) {
        if *state.relay.at(place) == Some(grant) {
            self.clear(state, &[place]);
        }
    }

    /// Whoever is lost loses everything at once: none of it revives in between.
    fn on_leave(&self, state: &mut State, client: Client) {
        let lost =
            |place: &Place| state.relay.at(*place).is_some_and(|grant| grant.owner == client);
        let lost: Vec<_> = [Place::Parent, Place::Child].into_iter().filter(lost).collect();
        self.clear(state, &lost);
    }

    /// The child's grant sleeps under the parent's, and revives with it: under a new token, as what
    /// was sent under the old one is older than what the parent's owner has written since.
    fn clear(&self, state: &mut State, places: &[Place]) {
        let slept = state.relay.parent.is_some();
        for &place in places {
            *state.relay.at(place) = None;
        }
        let wakes = slept && state.relay.parent.is_none();
        let Some(child) = state.relay.child.filter(|_| wakes) else { return };
        if !self.lacks(Fault::RevivedUnderOldToken) {
            let revived = state.relay.give(child.owner);
            state.relay.child = Some(revived);
            state.send(Message::Revive(revived));
        }
    }

    /// A write to the child counts under the outermost grant, if that is the writer's and current.
    fn on_write(&self, state: &mut State, write: Write) {
        let Relay { parent, child, .. } = state.relay;
        let decides =
            if self.lacks(Fault::ChildNotFenced) { child.or(parent) } else { parent.or(child) };
        if decides == Some(Grant { owner: write.writer, token: write.token }) {
            state.accepted.push(write);
            state.trespassed |= parent.is_some_and(|parent| parent.owner != write.writer);
        }
    }
}

impl State {
    fn send(&mut self, message: Message) {
        self.network.insert(message);
    }

    fn claim(&mut self, client: Client, place: Place) {
        let nonce = self.claimed[client].next();
        self.claimed[client] = nonce;
        self.send(Message::Claim(Claim { client, nonce, place }));
    }
}

impl Relay {
    fn at(&mut self, place: Place) -> &mut Option<Grant> {
        match place {
            Place::Parent => &mut self.parent,
            Place::Child => &mut self.child,
        }
    }

    /// A grant under a new token.
    fn give(&mut self, owner: Client) -> Grant {
        self.latest = self.latest.next();
        Grant { owner, token: self.latest }
    }

    /// The grant of the parent and that of the child, if they are not the same client's.
    fn overruled(&self) -> Option<(Grant, Grant)> {
        self.parent.zip(self.child).filter(|(parent, child)| parent.owner != child.owner)
    }
}
