//! From documents to mirror: what changed there is read anew.

use std::collections::{BTreeMap, BTreeSet};

use automerge::{ObjId, ReadDoc, ScalarValue};

use super::Datastore;
use super::intent::{Intent, Pending};
use super::mirror::{Mirror, Node};
use crate::proto::document::{Document, Touched};
use crate::proto::event::{Changed, Event, Origin};
use crate::proto::model::Kind;
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;

/// The key of a list element's place in the element's map.
pub(super) const POSITION: &str = "@";

/// What a refresh found different.
#[derive(Default)]
struct Findings {
    changed: BTreeMap<Path, BTreeSet<u16>>,
    added: Vec<Path>,
    removed: Vec<Path>,
    replaced: Vec<Path>,
    moved: Vec<Path>,
    /// Models that this peer was about to edit, and that are gone.
    dropped: Vec<Path>,
}

impl Datastore {
    /// Reads what was touched in the document of models, and tells what is different.
    pub(super) fn refresh(&mut self, touched: &Touched) {
        let mut findings = Findings::default();
        let mut reader = Reader {
            mirror: &mut self.mirror,
            models: &self.models,
            texts: &self.texts,
            pending: &mut self.pending,
            findings: &mut findings,
        };
        for (path, key) in touched {
            reader.key(path, key);
        }
        for model in std::mem::take(&mut findings.dropped) {
            self.tell(Event::Dropped { model });
        }
        if !self.quiet {
            self.report(findings, Origin::Remote);
        }
    }

    /// Reads texts that were touched.
    pub(super) fn refresh_texts(&mut self, texts: &BTreeSet<Path>) {
        for path in texts {
            let Some(Node::Text(content)) = self.mirror.node_mut(path) else {
                continue;
            };
            let now = self.texts.text(path).unwrap_or_default();
            if *content != now {
                *content = now;
                if !self.quiet {
                    self.tell(Event::Changed(Changed {
                        model: path.clone(),
                        properties: BTreeSet::new(),
                        origin: Origin::Remote,
                        fresh: false,
                    }));
                }
            }
        }
    }

    fn report(&mut self, findings: Findings, origin: Origin) {
        let fresh: BTreeSet<&Path> = findings.added.iter().chain(&findings.replaced).collect();
        let changed: Vec<Changed> = findings
            .changed
            .iter()
            .map(|(model, properties)| Changed {
                model: model.clone(),
                properties: properties.clone(),
                origin,
                fresh: fresh.iter().any(|above| above.contains(model)),
            })
            .collect();
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
        for changed in changed {
            self.tell(Event::Changed(changed));
        }
    }
}

/// Fills an empty mirror from documents.
pub(super) fn load_all(mirror: &mut Mirror, models: &Document, texts: &Document) {
    let mut reader = Reader {
        mirror,
        models,
        texts,
        pending: &mut Pending::default(),
        findings: &mut Findings::default(),
    };
    reader.object(&Path::root(), &ObjId::Root);
    let paths: Vec<Path> = reader.mirror.nodes().map(|(path, _)| path.clone()).collect();
    for path in paths {
        if let Some(Node::Text(content)) = reader.mirror.node_mut(&path) {
            *content = texts.text(&path).unwrap_or_default();
        }
    }
}

struct Reader<'a> {
    mirror: &'a mut Mirror,
    models: &'a Document,
    texts: &'a Document,
    pending: &'a mut Pending,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    /// Reads one key of the object at a path.
    fn key(&mut self, path: &Path, key: &str) {
        // Below a model that this peer is about to create, the document still has another's.
        if self.pending.reshapes_above(path) {
            return;
        }
        match self.mirror.node(path) {
            Some(Node::Model(_)) if key == POSITION => self.position(path),
            Some(Node::Model(_)) => {
                if let Ok(property) = key.parse() {
                    self.property(path, property);
                }
            }
            Some(Node::Collection { .. } | Node::List(_)) => self.member(path, key),
            Some(Node::Text(_)) | None => {}
        }
    }

    /// Reads everything below an object.
    fn object(&mut self, path: &Path, object: &ObjId) {
        let keys: Vec<String> = self.models.automerge().keys(object).collect();
        for key in keys {
            self.key(path, &key);
        }
    }

    fn property(&mut self, path: &Path, property: u16) {
        let Some(Node::Model(model)) = self.mirror.node(path) else {
            return;
        };
        let Some(kind) = model.shape.property(property).map(|property| property.kind) else {
            return;
        };
        let at = path.property(property);
        match kind {
            Kind::Value(_) | Kind::Counter => self.value(path, property),
            Kind::Child(_) | Kind::Set(_) | Kind::Dictionary(..) | Kind::List(_) => {
                if let Some(object) = self.models.object(&at) {
                    self.object(&at, &object);
                }
            }
            Kind::Text => {}
        }
    }

    fn value(&mut self, path: &Path, property: u16) {
        let counted = match self.pending.of(path, property) {
            Some(Intent::Count { by, .. }) => *by,
            // This peer's own value of the frame stands; it will be written after this one.
            Some(_) => return,
            None => 0,
        };
        let Some(object) = self.models.object(path) else {
            return;
        };
        let mut value = match self.models.automerge().get(&object, property.to_string()) {
            Ok(Some((automerge::Value::Scalar(scalar), _))) => scalar_to_value(&scalar),
            _ => None,
        };
        if let Some(Value::Int(total)) = &mut value {
            *total = total.wrapping_add(counted);
        }
        let Some(Node::Model(model)) = self.mirror.node_mut(path) else {
            return;
        };
        let blank = (model.shape.blank)();
        let value = value.or_else(|| blank.field(property)?.to_value());
        if let (Some(value), Some(field)) = (value, model.data.field_mut(property))
            && field.take_value(&value)
        {
            self.findings.changed.entry(path.clone()).or_default().insert(property);
        }
    }

    fn position(&mut self, path: &Path) {
        let Some((list, key)) = path.split() else {
            return;
        };
        if self.pending.moves(path) {
            return;
        }
        let position =
            self.models.object(path).and_then(|object| position_of(self.models, &object));
        if let (Some(position), Some(Node::List(list))) = (position, self.mirror.node_mut(&list))
            && list.place(&key, position)
            && !self.findings.added.contains(path)
        {
            self.findings.moved.push(path.clone());
        }
    }

    fn member(&mut self, path: &Path, key: &str) {
        let at = path.join(key);
        if self.pending.reshapes(&at) {
            return;
        }
        let Some(object) = self.models.object(&at) else {
            if self.detach(&at) {
                self.findings.removed.push(at);
            }
            return;
        };
        let known = match self.mirror.node(&at) {
            Some(Node::Model(model)) if model.object.as_ref() == Some(&object) => return,
            node => node.is_some(),
        };
        if known {
            // Another model under the same key: read it over a blank one.
            self.detach(&at);
        }
        self.mirror.enter(&at, position_of(self.models, &object).as_ref());
        if let Some(Node::Model(model)) = self.mirror.node_mut(&at) {
            model.object = Some(object.clone());
        }
        if known {
            self.findings.replaced.push(at.clone());
        } else {
            self.findings.added.push(at.clone());
        }
        self.object(&at, &object);
        self.texts_below(&at);
    }

    /// Takes a model out, and this peer's edits of it with it: they were of a model that is gone.
    fn detach(&mut self, at: &Path) -> bool {
        if self.pending.forget(at) {
            self.findings.dropped.push(at.clone());
        }
        self.mirror.detach(at)
    }

    /// Texts that came before the models that they belong to.
    fn texts_below(&mut self, path: &Path) {
        let texts: Vec<Path> = self.mirror.texts_below(path).cloned().collect();
        for at in texts {
            if let (Some(now), Some(Node::Text(content))) =
                (self.texts.text(&at), self.mirror.node_mut(&at))
            {
                *content = now;
            }
        }
    }
}

fn position_of(models: &Document, object: &ObjId) -> Option<Position> {
    match models.automerge().get(object, POSITION) {
        Ok(Some((automerge::Value::Scalar(scalar), _))) => scalar.as_str().map(Position::parse),
        _ => None,
    }
}

/// A value as documents hold it; nothing for kinds that no property has.
pub(super) fn scalar_to_value(scalar: &ScalarValue) -> Option<Value> {
    Some(match scalar {
        ScalarValue::Null => Value::Null,
        ScalarValue::Boolean(value) => Value::Bool(*value),
        ScalarValue::Int(value) => Value::Int(*value),
        ScalarValue::Uint(value) => Value::Uint(*value),
        ScalarValue::F64(value) => Value::Float(*value),
        ScalarValue::Str(value) => Value::Text(value.to_string()),
        ScalarValue::Bytes(value) => Value::Bytes(value.clone()),
        ScalarValue::Counter(counter) => Value::Int(counter.into()),
        ScalarValue::Timestamp(_) | ScalarValue::Unknown { .. } => return None,
    })
}
