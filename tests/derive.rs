//! `#[derive(Model)]` and `#[derive(Choice)]`: what they make of good types. What they say of bad ones
//! is among the tests of their own crate.

use std::time::Duration;

use parlor::proto::model::grid::{Form, Grid, Quantised};
use parlor::proto::model::handle::{
    Child, Handle, ModelRef, RealtimeDictionary, RealtimeList, RealtimeSet, Text,
};
use parlor::proto::model::path::Path;
use parlor::proto::model::property::Counter;
use parlor::proto::model::property::vector::{Colour, Quaternion};
use parlor::proto::model::value::Value;
use parlor::proto::model::words::StateTerms;
use parlor::proto::model::{Field, FieldType, Shape};
use parlor::proto::state::grid::{PARTS, Truth};
use parlor::{Choice, Model};

#[derive(Choice, Clone, Copy, Debug, Default, PartialEq)]
enum Team {
    #[default]
    Red,
    Blue = 5,
    Green,
}

const FAR: isize = 1 << 20;

#[derive(Choice, Debug, Default, PartialEq)]
#[choice(name = "Distance")]
#[repr(u64)]
enum Large {
    #[default]
    Near = 1,
    Far = u64::MAX,
}

#[derive(Choice, Debug, Default, PartialEq)]
enum Computed {
    #[default]
    Far = FAR,
    Farther,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
#[model(retired(3, 4), name = "Player")]
struct PlayerModel {
    #[property(1)]
    name: String,
    /// Documented.
    #[property(2)]
    score: Counter,
    #[property(0x10)]
    team: Team,
    #[property(65_535)]
    r#type: Option<Team>,
    #[property(5u16)]
    place: [f32; 3],
    #[property(6)]
    turn: Quaternion,
    #[property(7)]
    colour: Option<Colour>,
    #[property(8)]
    friend: ModelRef<Self>,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Node {
    #[property(1)]
    label: Text,
    #[property(2)]
    children: RealtimeSet<Self>,
    #[property(3)]
    players: RealtimeDictionary<u32, PlayerModel>,
    #[property(4)]
    order: RealtimeList<Leaf>,
    #[property(5)]
    only: Child<Leaf>,
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Leaf {}

/// What a crate does that calls parlor otherwise.
mod renamed {
    #![expect(non_snake_case, reason = "names that generated code must not fall for")]

    pub(crate) mod inner {
        pub(crate) use ::parlor as room;
    }

    mod core {}
    mod std {}
    #[expect(dead_code, reason = "here to be in the way")]
    fn Some() {}

    #[derive(inner::room::Choice, Clone, Debug, Default, PartialEq)]
    #[choice(crate = "inner::room")]
    pub(crate) enum Option {
        #[default]
        None,
    }

    #[derive(inner::room::Model, Clone, Debug, Default, PartialEq)]
    #[model(crate = "crate::renamed::inner::room")]
    pub(crate) struct Vec {
        #[property(1)]
        pub(crate) option: Option,
        #[property(2, unreliable, quantize = 2, round = 10, ephemeral = 1)]
        pub(crate) none: u8,
    }
}

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Ship {
    #[property(1)]
    name: String,
    #[property(2, unreliable, interpolate)]
    place: [f32; 3],
    #[property(3, unreliable, quantize = 0.5, round = 360, interpolate)]
    heading: f32,
    #[property(4, unreliable, quantize(bits = 10, range = -1.0..=1.0))]
    rudder: f64,
    #[property(5, unreliable, redundant)]
    team: Team,
    #[property(6, redundant, ephemeral = 0.25, unreliable)]
    horn: Option<bool>,
    #[property(7, unreliable)]
    light: Colour,
    #[property(8, unreliable, quantize = 1e-3)]
    turn: Quaternion,
    #[property(9, unreliable, quantize = 10)]
    depth: i32,
}

fn names(family: &[Shape]) -> Vec<&'static str> {
    family.iter().map(|shape| shape.name).collect()
}

#[test]
fn a_property_is_read_and_written_by_its_id() {
    let mut player = PlayerModel::default();
    player.name.push('A');
    player.score += 3;
    let value = |player: &PlayerModel, id| Model::field(player, id).unwrap().to_value();
    assert_eq!(value(&player, 1), Some(Value::Text("A".to_owned())));
    assert_eq!(value(&player, 2), Some(Value::Int(3)));
    assert_eq!(value(&player, 16), Some(Value::Uint(0)));
    assert_eq!(value(&player, 65_535), Some(Value::Null));
    let field = Model::field_mut(&mut player, 65_535).unwrap();
    assert!(field.take_value(&Value::Uint(6)));
    assert_eq!(player.r#type, Some(Team::Green));
    for absent in [0, 3, 4, 9] {
        assert!(Model::field(&player, absent).is_none());
        assert!(Model::field_mut(&mut player, absent).is_none());
    }
}

#[test]
fn a_shape_lists_the_fields_in_their_order() {
    let shape = PlayerModel::shape();
    assert_eq!((shape.name, shape.retired), ("Player", &[3, 4][..]));
    let about: Vec<String> = shape
        .properties
        .iter()
        .map(|property| format!("{} {} {:?}", property.id, property.name, property.kind))
        .collect();
    let expected = [
        "1 name String",
        "2 score counter",
        "16 team choice Team",
        "65535 type option of choice Team",
        "5 place [f32; 3] little-endian",
        "6 turn Quaternion little-endian",
        "7 colour option of Colour little-endian",
        "8 friend reference to Player",
    ];
    assert_eq!(about, expected);
    let blank = (shape.blank)();
    assert_eq!(blank.as_any().downcast_ref(), Some(&PlayerModel::default()));
}

#[test]
fn a_recursive_family_has_each_type_once() {
    let shape = Node::shape();
    assert_eq!(names(&shape.family()), ["Node", "Player", "Leaf"]);
    let kinds: Vec<String> =
        shape.properties.iter().map(|property| property.kind.describe()).collect();
    let expected =
        ["text", "set of Node", "dictionary from u32 to Player", "list of Leaf", "model Leaf"];
    assert_eq!(kinds, expected);
    // The value is part of the protocol: peers compare it.
    assert_eq!(shape.digest(), Node::shape().digest());
    assert_eq!(hex::encode(shape.digest()), "b64741c8b2045dd0");
    assert_eq!(hex::encode(Leaf::shape().digest()), "87c7e9831016d56e");
}

#[test]
fn handles_learn_where_they_are() {
    let mut node = Node::default();
    let here = Path::root().property(2);
    Model::field_mut(&mut node, 2).unwrap().bind(&here);
    assert_eq!(node.children.path(), Some(&here));
}

#[test]
fn a_choice_is_its_number() {
    let mut team = Team::Blue;
    assert_eq!(Field::to_value(&team), Some(Value::Uint(5)));
    for unknown in [Value::Uint(1), Value::Int(6), Value::Null] {
        assert!(!team.take_value(&unknown));
        assert_eq!(team, Team::Blue);
    }
    assert!(!team.take_value(&Value::Uint(5)));
    assert!(team.take_value(&Value::Uint(6)));
    assert_eq!(team, Team::Green);

    let mut large = Large::default();
    assert_eq!(Large::kind().describe(), "choice Distance");
    assert!(large.take_value(&Value::Uint(u64::MAX)));
    assert_eq!(large, Large::Far);

    let mut computed = Computed::default();
    assert_eq!(Field::to_value(&computed), Some(Value::Uint(1 << 20)));
    assert!(computed.take_value(&Value::Uint((1 << 20) + 1)));
    assert_eq!(computed, Computed::Farther);
}

#[test]
fn a_renamed_crate_and_names_in_the_way_do_no_harm() {
    let vec = renamed::Vec::default();
    assert_eq!(renamed::Vec::shape().name, "Vec");
    assert_eq!(Field::to_value(&vec.option), Some(Value::Uint(0)));
}

/// A property that says nothing but `unreliable`.
fn plain(form: Form) -> StateTerms {
    let grid = Grid { form, step: form.step(), origin: 0.0, round: None };
    StateTerms { grid, range: None, redundant: false, ephemeral: None, interpolate: false }
}

#[test]
fn words_become_terms() {
    let shape = Ship::shape();
    let terms: Vec<Option<StateTerms>> =
        shape.properties.iter().map(|property| property.state).collect();
    let stepped = |form, step| Grid { step, ..plain(form).grid };
    let heading = Grid { round: Some(360.0), ..stepped(Form::Float, 0.5) };
    let rudder = Grid { origin: -1.0, ..stepped(Form::Float, 2.0 / 1023.0) };
    let expected = [
        None,
        Some(StateTerms { interpolate: true, ..plain(Form::Vector(3)) }),
        Some(StateTerms { grid: heading, interpolate: true, ..plain(Form::Float) }),
        Some(StateTerms { grid: rudder, range: Some((-1.0, 1.0)), ..plain(Form::Float) }),
        Some(StateTerms { redundant: true, ..plain(Form::Unsigned) }),
        Some(StateTerms {
            redundant: true,
            ephemeral: Some(Duration::from_millis(250)),
            ..plain(Form::Flag)
        }),
        Some(StateTerms { grid: stepped(Form::Vector(4), 1.0 / 255.0), ..plain(Form::Vector(4)) }),
        Some(StateTerms { grid: stepped(Form::Rotation, 0.001), ..plain(Form::Rotation) }),
        Some(StateTerms { grid: stepped(Form::Signed, 10.0), ..plain(Form::Signed) }),
    ];
    assert_eq!(terms, expected);
    assert!(PlayerModel::shape().properties.iter().all(|property| property.state.is_none()));
}

#[test]
fn a_record_says_what_travels_on_the_state_lane() {
    let expected = concat!(
        r#"{"name":"Ship","properties":{"#,
        r#""1":["name","String","document"],"#,
        r#""2":["place","[f32; 3] little-endian","state v3 interpolate"],"#,
        r#""3":["heading","f32","state f:0.5o360 interpolate"],"#,
        r#""4":["rudder","f64","state f:0.0019550342130987292-1 within -1 1"],"#,
        r#""5":["team","choice Team","state u redundant"],"#,
        r#""6":["horn","option of bool","state b redundant ephemeral 0.25"],"#,
        r#""7":["light","Colour little-endian","state v4:0.00392156862745098"],"#,
        r#""8":["turn","Quaternion little-endian","state q:0.001"],"#,
        r#""9":["depth","i32","state i:10"]}}"#,
    );
    assert_eq!(Ship::shape().record(), expected);
}

#[test]
fn values_are_kept_within_their_range() {
    let rudder = Ship::shape().property(4).unwrap().state.unwrap();
    let at = |number| rudder.quantised(&Value::Float(number));
    let steps = |steps: i64| Some(Truth::Numbers([steps * PARTS, 0, 0, 0]));
    assert_eq!(at(-1.0), steps(0));
    assert_eq!(at(-7.0), steps(0));
    assert_eq!(at(1.0), steps(1023));
    assert_eq!(at(7.0), steps(1023));
    assert_eq!([at(f64::INFINITY), at(f64::NAN)], [None, None]);
    assert_eq!(rudder.grid.value(steps(1023).unwrap()), Some(Value::Float(1.0)));
}

#[test]
fn an_option_is_on_the_grid_of_what_it_may_hold() {
    assert_eq!(<Option<Colour>>::FORM, Colour::FORM);
    assert_eq!(<Option<Colour>>::STEP.to_bits(), Colour::STEP.to_bits());
    let horn = Ship::shape().property(6).unwrap().state.unwrap();
    let yes = Field::to_value(&Some(true)).unwrap();
    assert_eq!(horn.quantised(&yes), Some(Truth::Numbers([PARTS, 0, 0, 0])));
    assert_eq!(horn.quantised(&Value::Null), None);
}
