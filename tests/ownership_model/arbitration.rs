//! One owned model, a relay and two clients. The rules are R1 to R8 of the reliability notes.
//!
//! Clocks are assumed to agree on one thing only: a lease at the relay outlasts the window that the
//! client opened when it sent the claim. So the relay's waits end at any time, but never while a
//! window is open that they wait for.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::terms::{Accepted, Boot, Client, Each, Nonce, ORDERED, Token, Write};

pub(crate) const DISTINCT: &str = "no two clients are confirmed under one token";
pub(crate) const ALONE: &str = "no two clients are confirmed at once";
const CONFIRMED: &str = "a claim is confirmed";
const HANDED_OVER: &str = "after one client's accepted write the other is confirmed";
const OUTLASTED: &str = "a write is accepted after a restart";

/// What becomes of a claim while the other client is the owner (R8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is granted at once. The old owner is fenced, and learns of it later.
    Instant,
    /// It waits until the old owner has let go or its lease has ended.
    Exclusive,
}

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The relay starts again in the boot in which it stopped, and counts from the beginning.
    BootNotDurable,
    /// The relay looks at who writes, and not at the token.
    TokenNotChecked,
    /// The relay grants as soon as it has started again.
    NoWaitAfterRestart,
    /// A grant that comes after the window opens a new one.
    LeaseFromReceipt,
    /// A client does not remember what was revoked.
    RevokeKeepsFloor,
}

/// How far it goes: whatever exceeds one of these is not looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The last claim of each client.
    pub(crate) claims: Each<Nonce>,
    /// Tokens of each boot.
    pub(crate) tokens: u8,
    /// The last start of the relay.
    pub(crate) boots: Boot,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Arbitration {
    pub(crate) mode: Mode,
    pub(crate) bounds: Bounds,
    pub(crate) fault: Option<Fault>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct State {
    relay: Relay,
    seats: Each<Seat>,
    /// Whatever was ever sent. Nothing leaves, so anything may arrive late, again, in any order; or
    /// never, as nothing has to.
    network: BTreeSet<Message>,
    accepted: Accepted,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Relay {
    /// The last token that was given.
    latest: Token,
    grant: Option<Grant>,
    /// Who gets it next. Exclusive only.
    waiting: Option<Claim>,
    /// The last claim of each client.
    heard: Each<Nonce>,
    /// Whether somebody may still own what was granted before the restart. Exclusive only.
    recovering: bool,
}

/// What a client knows.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct Seat {
    /// Its last claim.
    nonce: Nonce,
    window: Option<Window>,
    /// The newest token that it has heard of: what comes with this or an older one is void.
    floor: Token,
}

/// The time in which a grant may be believed.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Window {
    /// The relay's boot at that time. Clients do not know it; the relay's clock goes by it.
    opened: Boot,
    confirmed: Option<Token>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    client: Client,
    nonce: Nonce,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    claim: Claim,
    token: Token,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Message {
    Claim(Claim),
    Grant(Grant),
    /// To a client: what it was granted up to this token has ended.
    Revoke(Client, Token),
    /// From a client: it knows.
    Ack(Client, Token),
    Write(Write),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Claim(Client),
    CloseWindow(Client),
    Write(Client),
    Leave(Client),
    EndLease,
    Restart,
    Recover,
    Deliver(Message),
}

impl Model for Arbitration {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            relay: Relay::start(Boot::FIRST),
            seats: Each::default(),
            network: BTreeSet::new(),
            accepted: Accepted::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for client in Client::ALL {
            let seat = &state.seats[client];
            let confirmed = seat.confirmed().is_some();
            let possible = [
                (!confirmed, Action::Claim(client)),
                (seat.window.is_some(), Action::CloseWindow(client)),
                (confirmed, Action::Write(client)),
                (self.may_leave(state, client), Action::Leave(client)),
            ];
            actions.extend(possible.into_iter().filter_map(|(may, action)| may.then_some(action)));
        }
        if self.mode == Mode::Exclusive && state.may_end_lease() {
            actions.push(Action::EndLease);
        }
        if state.may_recover() {
            actions.push(Action::Recover);
        }
        actions.push(Action::Restart);
        actions.extend(state.network.iter().copied().map(Action::Deliver));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Claim(client) => state.claim(client),
            Action::CloseWindow(client) => state.seats[client].window = None,
            Action::Write(client) => state.write(client),
            Action::Leave(_) => state.clear(),
            Action::EndLease => state.hand_over(),
            Action::Restart => self.restart(&mut state),
            Action::Recover => {
                state.relay.recovering = false;
                state.hand_over();
            }
            Action::Deliver(Message::Claim(claim)) => self.on_claim(&mut state, claim),
            Action::Deliver(Message::Grant(grant)) => self.on_grant(&mut state, grant),
            Action::Deliver(Message::Revoke(client, token)) => {
                self.on_revoke(&mut state, client, token);
            }
            Action::Deliver(Message::Ack(client, token)) => state.on_ack(client, token),
            Action::Deliver(Message::Write(write)) => self.on_write(&mut state, write),
        }
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let Token { boot, counter } = state.relay.latest;
        let claimed = |client| state.seats[client].nonce <= self.bounds.claims[client];
        boot <= self.bounds.boots
            && counter <= self.bounds.tokens
            && Client::ALL.into_iter().all(claimed)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ORDERED, |_, state: &State| !state.accepted.disordered),
            Property::always(DISTINCT, |_, state: &State| {
                state.confirmed(Client::Ada).is_none()
                    || state.confirmed(Client::Ada) != state.confirmed(Client::Ben)
            }),
            Property::sometimes(CONFIRMED, |_, state: &State| {
                Client::ALL.iter().any(|&client| state.confirmed(client).is_some())
            }),
            Property::sometimes(HANDED_OVER, |_, state: &State| {
                state.accepted.last.is_some_and(|Write { writer, token }| {
                    state.confirmed(writer.other()) > Some(token)
                })
            }),
            Property::sometimes(OUTLASTED, |_, state: &State| {
                state.accepted.last.is_some_and(|write| write.token.boot > Boot::FIRST)
            }),
        ];
        if self.mode == Mode::Exclusive {
            properties.push(Property::always(ALONE, |_, state: &State| {
                !Client::ALL.iter().all(|&client| state.confirmed(client).is_some())
            }));
        }
        properties
    }
}

/// The rules that depend on the mode or can be left out.
impl Arbitration {
    fn lacks(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The relay sees that the owner is gone, and ends what it owned; an exclusive grant ends with its
    /// lease only (R7, R8).
    fn may_leave(&self, state: &State, client: Client) -> bool {
        let owner = state.relay.grant.map(|grant| grant.claim.client);
        self.mode == Mode::Instant && owner == Some(client)
    }

    /// The relay answers the newest claim of each client, in the order in which they come (R1).
    fn on_claim(&self, state: &mut State, claim: Claim) {
        if claim.nonce <= state.relay.heard[claim.client] {
            return;
        }
        state.relay.heard[claim.client] = claim.nonce;
        match (self.mode, state.relay.grant) {
            (Mode::Instant, former) => {
                state.grant(claim);
                // What is revoked is everything before the new grant, also a grant that the old
                // owner has not heard of.
                if let Some(former) = former.filter(|former| former.claim.client != claim.client) {
                    state.send(Message::Revoke(former.claim.client, state.relay.latest));
                }
            }
            (Mode::Exclusive, Some(former)) => {
                state.relay.waiting = Some(claim);
                state.send(Message::Revoke(former.claim.client, former.token));
            }
            (Mode::Exclusive, None) if state.relay.recovering => {
                state.relay.waiting = Some(claim);
            }
            (Mode::Exclusive, None) => state.grant(claim),
        }
    }

    /// A client believes the answer to its last claim (R5), within the window that it opened when it
    /// sent that (R3), unless it has heard of something newer (R4).
    fn on_grant(&self, state: &mut State, Grant { claim, token }: Grant) {
        let seat = &mut state.seats[claim.client];
        if claim.nonce != seat.nonce || token <= seat.floor {
            return;
        }
        if self.lacks(Fault::LeaseFromReceipt) && seat.window.is_none() {
            seat.window = Some(Window { opened: state.relay.latest.boot, confirmed: None });
        }
        if let Some(window) = &mut seat.window {
            window.confirmed = Some(token);
            seat.floor = token;
        }
    }

    /// A client lets go, and remembers up to where: the grant itself may come later (R4).
    fn on_revoke(&self, state: &mut State, client: Client, token: Token) {
        let seat = &mut state.seats[client];
        if token < seat.floor {
            return;
        }
        if !self.lacks(Fault::RevokeKeepsFloor) {
            seat.floor = token;
        }
        if let Some(window) = &mut seat.window {
            window.confirmed = window.confirmed.filter(|&confirmed| confirmed > token);
        }
        if self.mode == Mode::Exclusive {
            state.send(Message::Ack(client, token));
        }
    }

    /// A write counts if its writer is the owner and its token is the current one (R2).
    fn on_write(&self, state: &mut State, write: Write) {
        let counts = state.relay.grant.is_some_and(|grant| {
            let current = grant.token == write.token || self.lacks(Fault::TokenNotChecked);
            grant.claim.client == write.writer && current
        });
        if counts {
            state.accepted.push(write);
        }
    }

    /// The relay forgets everything but its boot, and waits if there may be an owner that it does
    /// not know of (R6).
    fn restart(&self, state: &mut State) {
        let boot = state.relay.latest.boot;
        let boot = if self.lacks(Fault::BootNotDurable) { boot } else { boot.next() };
        let waits = self.mode == Mode::Exclusive && !self.lacks(Fault::NoWaitAfterRestart);
        state.relay = Relay { recovering: waits, ..Relay::start(boot) };
    }
}

/// What is always the same.
impl State {
    fn confirmed(&self, client: Client) -> Option<Token> {
        self.seats[client].confirmed()
    }

    fn send(&mut self, message: Message) {
        self.network.insert(message);
    }

    /// A client claims. Its window opens now, and not when the answer comes (R3).
    fn claim(&mut self, client: Client) {
        let seat = &mut self.seats[client];
        let nonce = seat.nonce.next();
        seat.nonce = nonce;
        seat.window = Some(Window { opened: self.relay.latest.boot, confirmed: None });
        self.send(Message::Claim(Claim { client, nonce }));
    }

    /// A client that believes itself the owner writes under the token of its grant.
    fn write(&mut self, writer: Client) {
        if let Some(token) = self.confirmed(writer) {
            self.send(Message::Write(Write { writer, token }));
        }
    }

    /// The relay grants under a new token (R1).
    fn grant(&mut self, claim: Claim) {
        let token = self.relay.latest.next();
        let grant = Grant { claim, token };
        self.relay.latest = token;
        self.relay.grant = Some(grant);
        self.send(Message::Grant(grant));
    }

    /// The owner was lost: a new token, and no owner (R7).
    fn clear(&mut self) {
        self.relay.latest = self.relay.latest.next();
        self.relay.grant = None;
    }

    /// The owner has let go, or its lease has ended: the next one gets it (R8).
    fn hand_over(&mut self) {
        self.relay.grant = None;
        if let Some(claim) = self.relay.waiting.take() {
            self.grant(claim);
        }
    }

    fn on_ack(&mut self, client: Client, token: Token) {
        let current = |grant: Grant| grant.claim.client == client && grant.token == token;
        if self.relay.grant.is_some_and(current) {
            self.hand_over();
        }
    }

    /// A lease outlasts the window of the claim that it answers.
    fn may_end_lease(&self) -> bool {
        self.relay.grant.is_some_and(|Grant { claim, .. }| {
            let seat = &self.seats[claim.client];
            seat.nonce != claim.nonce || seat.window.is_none()
        })
    }

    /// The wait after a restart outlasts every window that was open before.
    fn may_recover(&self) -> bool {
        let boot = self.relay.latest.boot;
        let mut windows = self.seats.iter().filter_map(|seat| seat.window.as_ref());
        self.relay.recovering && windows.all(|window| window.opened == boot)
    }
}

impl Relay {
    /// A relay without memory.
    fn start(boot: Boot) -> Self {
        Self {
            latest: Token::before(boot),
            grant: None,
            waiting: None,
            heard: Each::default(),
            recovering: false,
        }
    }
}

impl Seat {
    fn confirmed(&self) -> Option<Token> {
        self.window.as_ref().and_then(|window| window.confirmed)
    }
}
