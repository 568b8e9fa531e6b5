//! `realtime.json`: how a scene stands in documents.

use parlor::Model;
use parlor::proto::datastore::Datastore;
use parlor::proto::model::handle::{Child, ConfirmedDictionary, ModelRef, RealtimeSet};
use parlor::proto::ownership::Terms;
use parlor::realtime::scene::{Instantiate, Realtime, Spawn, Stage};
use parlor::realtime::transform::Transform;
use parlor::realtime::view::{Actor, View};
use serde_json::json;

use crate::documents::{Case, flush, store};
use crate::vectors::check;

#[derive(Clone, Debug, Default, Model)]
struct Scene {
    #[property(1)]
    things: RealtimeSet<Thing>,
    #[property(2)]
    fixtures: ConfirmedDictionary<String, Thing>,
}

#[derive(Clone, Debug, Default, Model)]
struct Thing {
    #[property(1)]
    view: Child<View>,
    #[property(2)]
    transform: Child<Transform>,
    #[property(3)]
    name: String,
}

impl Actor for Thing {
    fn view(&self) -> &Child<View> {
        &self.view
    }

    fn transform(&self) -> Option<&Child<Transform>> {
        Some(&self.transform)
    }
}

/// Nothing stands for anything.
struct Empty;

impl Stage<Thing> for Empty {
    type Object = ();

    fn despawn(&mut self, _: &ModelRef<Thing>, (): ()) {}
}

fn build(_: &mut Empty, _: &Spawn<'_, Thing>) {}

#[test]
fn realtime() {
    let mut cases = records();
    cases.extend(views());
    check("realtime.json", &cases);
}

fn records() -> Vec<Case> {
    let records = [View::shape(), Transform::shape()].into_iter().map(|shape| Case {
        name: format!("schema-{}", shape.name),
        why: "the record of a type that every scene has",
        given: json!(shape.name),
        gives: json!(shape.record()),
    });
    records.collect()
}

/// A scene written in three frames.
fn views() -> Vec<Case> {
    let mut store: Datastore = store(1, Scene::shape());
    let root = store.root::<Scene>().unwrap().clone();
    let mut scene = Realtime::new(root.things, root.fixtures);
    scene.register("ship", build);
    let transform = Transform { position: [1.0, 2.5, -3.0], ..Transform::default() };
    let options = Instantiate {
        actor: Thing { name: "argo".to_owned(), ..Thing::default() },
        about: vec![1, 2],
        transform: Some(transform),
        terms: Some(Terms { destroy_with_owner: true, ..Terms::default() }),
    };
    let ship = scene.instantiate(&mut store, &mut Empty, "ship", options).unwrap();
    let made = Case {
        name: "view".to_owned(),
        why: "a view in one change: model, components, prefab, place, name and claim",
        given: json!({
            "prefab": "ship", "about": "0102", "position": [1.0, 2.5, -3.0], "name": "argo",
            "destroy_with_owner": true
        }),
        gives: flush(&mut store),
    };
    let bare = Instantiate { terms: None, ..Instantiate::default() };
    scene.instantiate(&mut store, &mut Empty, "ship", bare).unwrap();
    let plain = Case {
        name: "view-bare".to_owned(),
        why: "a view of which all but the prefab is as by default, and which is nobody's",
        given: json!({ "prefab": "ship" }),
        gives: flush(&mut store),
    };
    scene.destroy(&mut store, &mut Empty, &ship).unwrap();
    let gone = Case {
        name: "view-destroyed".to_owned(),
        why: "the first one is taken out again",
        given: json!(null),
        gives: flush(&mut store),
    };
    vec![made, plain, gone]
}
