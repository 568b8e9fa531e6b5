//! From tables to mirror: what changed there is read anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;
use smol_str::{SmolStr, ToSmolStr};

use super::Datastore;
use super::intent::{Intent, Pending};
use super::mirror::{Known, Mirror, ModelNode, Node};
use super::moving::Moving;
use super::tree::position;
use crate::proto::event::{Changed, Event, Origin};
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::{Kind, PropertyShape, Shape};
use crate::proto::table::{Cell, ObjectIndex, RegisterIndex, Table, View};

/// A key of the object at a path.
pub(super) type Spot = (Path, String);

/// The key of a list element's place in the element's map.
pub(super) const POSITION: &str = "@";

/// What a refresh found different.
#[derive(Default)]
struct Findings {
    /// Nobody is told of properties while a room is being joined: they are not kept then.
    quiet: bool,
    changed: BTreeMap<Path, BTreeSet<u16>>,
    added: Vec<Path>,
    removed: Vec<Path>,
    replaced: Vec<Path>,
    moved: Vec<Path>,
    /// Models that this peer was about to edit, and that are gone.
    dropped: Vec<Path>,
}

impl Datastore {
    /// Reads what was touched in the models' table, by register or by path, and tells what is
    /// different.
    pub(super) fn refresh(&mut self, touched: &[RegisterIndex], spots: &[Spot]) {
        self.read(|reader| {
            touched.iter().for_each(|register| reader.register(*register));
            spots.iter().for_each(|spot| reader.spot(spot));
        });
    }

    /// Reads everything anew: another epoch began with other values than those that showed.
    pub(super) fn refresh_all(&mut self) {
        let members = self.mirror.members();
        self.read(|reader| {
            members.iter().for_each(|spot| reader.spot(spot));
            reader.whole(&Path::root(), Some(ObjectIndex::ROOT));
        });
    }

    fn read(&mut self, read: impl FnOnce(&mut Reader<'_>)) {
        let mut findings = Findings { quiet: self.quiet, ..Findings::default() };
        read(&mut Reader {
            mirror: &mut self.mirror,
            moving: &mut self.moving,
            table: self.models.table(),
            texts: self.texts.table(),
            pending: &mut self.pending,
            findings: &mut findings,
            cuts: self.cuts,
        });
        for model in findings.removed.iter().chain(&findings.replaced) {
            self.forget_asked(model);
        }
        if !self.moving.is_empty() {
            // What was said before its model came.
            for model in findings.added.iter().chain(&findings.replaced) {
                self.moving.apply(&mut self.mirror, model);
            }
        }
        for model in std::mem::take(&mut findings.dropped) {
            self.tell(Event::Dropped { model });
        }
        if !self.quiet {
            self.report(findings, self.origin);
        }
    }

    /// Reads texts that were touched.
    pub(super) fn refresh_texts(&mut self, texts: &BTreeSet<Path>) {
        for path in texts {
            let Some(Node::Text(content)) = self.mirror.node_mut(path) else {
                continue;
            };
            let now = read(self.texts.table(), path, View::Shown);
            if *content != now {
                *content = now;
                if !self.quiet {
                    self.tell(Event::Changed(Changed {
                        model: path.clone(),
                        properties: BTreeSet::new(),
                        origin: self.origin,
                        fresh: false,
                    }));
                }
            }
        }
    }

    fn report(&mut self, findings: Findings, origin: Origin) {
        let fresh: BTreeSet<Path> =
            findings.added.iter().chain(&findings.replaced).cloned().collect();
        for model in findings.removed {
            self.tell(Event::Removed { model, origin });
        }
        for model in findings.added {
            self.tell(Event::Added { model, origin });
        }
        for model in findings.replaced {
            self.tell(Event::Replaced { model, origin });
        }
        for model in findings.moved {
            self.tell(Event::Moved { model, origin });
        }
        for (model, properties) in findings.changed {
            let fresh = fresh.iter().any(|above| above.contains(&model));
            self.tell(Event::Changed(Changed { model, properties, origin, fresh }));
        }
    }
}

/// Fills an empty mirror.
pub(super) fn load_all(mirror: &mut Mirror, table: &Table, texts: &Table) {
    let mut reader = Reader {
        mirror,
        moving: &mut Moving::default(),
        table,
        texts,
        pending: &mut Pending::default(),
        findings: &mut Findings { quiet: true, ..Findings::default() },
        cuts: 0,
    };
    reader.object(&Path::root(), ObjectIndex::ROOT);
    let paths: Vec<Path> = reader.mirror.nodes().map(|(path, _)| path.clone()).collect();
    for path in paths {
        if let Some(Node::Text(content)) = reader.mirror.node_mut(&path) {
            *content = read(texts, &path, View::All);
        }
    }
}

/// What a text says; nothing if it is not there.
fn read(texts: &Table, path: &Path, view: View) -> String {
    texts.text(path.as_str()).map_or_else(String::new, |text| texts.read(text, view))
}

impl Findings {
    fn change(&mut self, model: &Path, properties: impl IntoIterator<Item = u16>) {
        if !self.quiet {
            self.changed.entry(model.clone()).or_default().extend(properties);
        }
    }
}

/// A key of an object and what shows there.
type Shown<'a> = (&'a SmolStr, Option<&'a Cell>);

struct Reader<'a> {
    mirror: &'a mut Mirror,
    moving: &'a mut Moving,
    table: &'a Table,
    texts: &'a Table,
    pending: &'a mut Pending,
    findings: &'a mut Findings,
    cuts: u32,
}

impl<'a> Reader<'a> {
    /// Reads a register, if it is in an object that shows.
    fn register(&mut self, register: RegisterIndex) {
        let table = self.table;
        let (object, key) = table.place(register);
        if table.is_shown(object) {
            let cell = table.values(register).last().map(|live| &live.cell);
            self.key(table.path(object), Some(object), (key, cell));
        }
    }

    /// Reads one key of what is at a path, and what shows there; nothing may be at the path.
    fn key(&mut self, path: &Path, object: Option<ObjectIndex>, (key, cell): Shown<'_>) {
        // Below a model that this peer is about to create, the document still has another's.
        if self.pending.reshapes_above(path) {
            return;
        }
        match self.mirror.node_mut(path) {
            Some(Node::Model(_)) if key == POSITION => self.position(path, object),
            Some(Node::Model(model)) => {
                let Some(property) = property(model, key) else { return };
                match property.kind {
                    Kind::Value(_) | Kind::Counter => {
                        let id = property.id;
                        if self.moving.yields(path, &property)
                            && take(model, self.pending.of(path, id), id, cell)
                        {
                            self.findings.change(path, [id]);
                        }
                    }
                    Kind::Child(_)
                    | Kind::Set(_)
                    | Kind::Dictionary(..)
                    | Kind::List(_)
                    | Kind::Confirmed(..) => {
                        if let Some(Cell::Object(below)) = cell {
                            self.object(&path.property(property.id), *below);
                        }
                    }
                    Kind::Text | Kind::Signal => {}
                }
            }
            Some(Node::Collection { .. } | Node::List(_)) => self.member(path, (key, cell)),
            Some(Node::Text(_)) | None => {}
        }
    }

    /// Reads everything below an object.
    fn object(&mut self, path: &Path, object: ObjectIndex) {
        if self.pending.reshapes_above(path) {
            return;
        }
        match self.mirror.node_mut(path) {
            Some(Node::Model(model)) => {
                let (pending, findings) = (&*self.pending, &mut *self.findings);
                let shown = shown(self.table, object);
                let below = properties((path, model), shown, (pending, self.moving), findings);
                for key in below {
                    self.key(path, Some(object), key);
                }
            }
            Some(Node::Collection { shape, keys })
                if keys.is_empty() && self.pending.is_empty() =>
            {
                // All keys at once: one by one, each would be searched for among the others.
                let shape = shape.shape();
                *keys = members(self.table, object).map(|(key, _)| key.clone()).collect();
                self.mirror.reserve(self.table.len(object));
                for (_, object) in members(self.table, object) {
                    let at = self.table.path(object);
                    self.findings.added.push(at.clone());
                    self.fresh(at, object, &shape);
                }
            }
            Some(Node::Collection { .. } | Node::List(_)) => {
                self.mirror.reserve(self.table.len(object));
                shown(self.table, object).for_each(|key| self.member(path, key));
                // Another map may stand here than the one that its members were read from.
                for key in self.mirror.keys(path) {
                    if self.table.get(object, &key).is_none() {
                        self.member(path, (&key, None));
                    }
                }
            }
            Some(Node::Text(_)) | None => {}
        }
    }

    fn spot(&mut self, (path, key): &Spot) {
        let object = self.table.find(path);
        self.key(path, object, (&SmolStr::new(key), self.cell(object, key)));
    }

    fn cell(&self, object: Option<ObjectIndex>, key: &str) -> Option<&'a Cell> {
        self.table.get(object?, key)
    }

    /// Reads every property of a model, those that have no value any more too.
    fn whole(&mut self, path: &Path, object: Option<ObjectIndex>) {
        let properties: Vec<(u16, Kind)> = match self.mirror.node(path) {
            Some(Node::Model(model)) => {
                model.shape.properties.iter().map(|of| (of.id, of.kind)).collect()
            }
            _ => Vec::new(),
        };
        for (id, kind) in properties {
            let key = id.to_smolstr();
            if matches!(kind, Kind::Child(_)) {
                let below = object.and_then(|object| self.table.below(object, &key));
                self.whole(&path.property(id), below);
            } else {
                self.key(path, object, (&key, self.cell(object, &key)));
            }
        }
        self.key(path, object, (&POSITION.into(), self.cell(object, POSITION)));
    }

    fn position(&mut self, path: &Path, object: Option<ObjectIndex>) {
        let Some((list, key)) = path.split() else {
            return;
        };
        if self.pending.moves(path) {
            return;
        }
        let position = object.and_then(|object| position(self.table, object));
        if let (Some(position), Some(Node::List(list))) = (position, self.mirror.node_mut(&list))
            && list.place(&key, Position::parse(position))
            && !self.findings.added.contains(path)
        {
            self.findings.moved.push(path.clone());
        }
    }

    fn member(&mut self, path: &Path, (key, cell): Shown<'_>) {
        let at = match cell {
            Some(Cell::Object(object)) => self.table.path(*object).clone(),
            Some(Cell::Value(_) | Cell::Counter(_)) | None => path.join(key),
        };
        if self.pending.reshapes(&at) {
            return;
        }
        let table = self.table;
        let Some(&Cell::Object(object)) = cell else {
            if self.detach(&at) {
                self.findings.removed.push(at);
            }
            return;
        };
        let now = Known { object, cuts: self.cuts };
        let known = match self.mirror.node_mut(&at) {
            Some(Node::Model(model)) => match model.object.replace(now) {
                Some(before) if before == now => return,
                // The same in another place: a cut keeps what shows.
                Some(before) if before.cuts < now.cuts && table.is_laid(object) => {
                    self.whole(&at, Some(object));
                    return;
                }
                _ => true,
            },
            node => node.is_some(),
        };
        if known {
            // Another model under the same key: read it over a blank one.
            self.detach(&at);
        }
        let place = || position(table, object).map(Position::parse);
        let Some(shape) = self.mirror.enter(path, key, place) else {
            return;
        };
        if known {
            self.findings.replaced.push(at.clone());
        } else {
            self.findings.added.push(at.clone());
        }
        self.fresh(&at, object, &shape);
    }

    /// Reads a model over a blank one that it puts there.
    fn fresh(&mut self, at: &Path, object: ObjectIndex, shape: &Arc<Shape>) {
        let Node::Model(model) = self.mirror.attach(at, shape) else {
            return;
        };
        model.object = Some(Known { object, cuts: self.cuts });
        let (pending, findings) = (&*self.pending, &mut *self.findings);
        let shown = shown(self.table, object);
        let below = properties((at, model), shown, (pending, self.moving), findings);
        for key in below {
            self.key(at, Some(object), key);
        }
        if shape.handles().next().is_some() {
            self.texts_below(at);
        }
    }

    /// Takes a model out, and this peer's edits of it with it: they were of a model that is gone.
    fn detach(&mut self, at: &Path) -> bool {
        if self.pending.forget(at) {
            self.findings.dropped.push(at.clone());
        }
        self.moving.leave(at);
        self.mirror.detach(at)
    }

    /// Texts that came before the models that they belong to.
    fn texts_below(&mut self, path: &Path) {
        let texts: Vec<Path> = self.mirror.texts_below(path).collect();
        for at in texts {
            if let Some(Node::Text(content)) = self.mirror.node_mut(&at) {
                *content = read(self.texts, &at, View::Shown);
            }
        }
    }
}

/// The keys of an object that have a value, in order.
fn shown(table: &Table, object: ObjectIndex) -> impl Iterator<Item = Shown<'_>> {
    table.registers(object, None).filter_map(|(key, register)| {
        table.values(register).last().map(|live| (key, Some(&live.cell)))
    })
}

/// The keys of an object under which another shows, in order.
pub(super) fn members(
    table: &Table,
    object: ObjectIndex,
) -> impl Iterator<Item = (&SmolStr, ObjectIndex)> {
    shown(table, object).filter_map(|(key, cell)| match cell {
        Some(Cell::Object(object)) => Some((key, *object)),
        Some(Cell::Value(_) | Cell::Counter(_)) | None => None,
    })
}

/// The property of a model that stands under a key.
fn property(model: &ModelNode, key: &str) -> Option<PropertyShape> {
    model.shape.property(key.parse().ok()?).copied()
}

/// Reads the values of a model out of what shows. Returns what else there is.
fn properties<'a>(
    (path, model): (&Path, &mut ModelNode),
    shown: impl Iterator<Item = Shown<'a>>,
    (pending, moving): (&Pending, &mut Moving),
    findings: &mut Findings,
) -> SmallVec<[Shown<'a>; 4]> {
    let mut changed = SmallVec::<[u16; 16]>::new();
    let mut others = SmallVec::new();
    for (key, cell) in shown {
        match property(model, key) {
            Some(property @ PropertyShape { kind: Kind::Value(_) | Kind::Counter, .. }) => {
                let id = property.id;
                if moving.yields(path, &property) && take(model, pending.of(path, id), id, cell) {
                    changed.push(id);
                }
            }
            _ => others.push((key, cell)),
        }
    }
    if !changed.is_empty() {
        findings.change(path, changed);
    }
    others
}

/// Reads what shows of a property, over which this peer's own edit of the frame stands. Returns
/// whether the property is different now.
fn take(model: &mut ModelNode, own: Option<&Intent>, id: u16, cell: Option<&Cell>) -> bool {
    let counted = match own {
        Some(Intent::Count { by, .. }) => *by,
        // It will be written after this one.
        Some(_) => return false,
        None => 0,
    };
    let Some(field) = model.data.field_mut(id) else {
        return false;
    };
    match cell {
        Some(Cell::Value(value)) => field.take_value(value),
        Some(Cell::Counter(count)) => field.take_value(&Value::Int(count.wrapping_add(counted))),
        None if counted != 0 => field.take_value(&Value::Int(counted)),
        Some(Cell::Object(_)) | None => {
            let blank = (model.shape.blank)();
            let blank = blank.field(id).and_then(|field| field.to_value());
            blank.is_some_and(|value| field.take_value(&value))
        }
    }
}
