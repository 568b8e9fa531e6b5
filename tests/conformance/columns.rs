//! `columns.json`: bases in columns, and bytes that are none.

use parlor::proto::base::columns::{decode, encode};
use parlor::proto::base::{Base, Content, Row};
use parlor::proto::config::Limits;
use parlor::proto::datastore::ElementId;
use parlor::proto::model::value::Value as Held;
use serde::Serialize;
use serde_json::{Value, json};

use crate::vectors::check;

#[derive(Serialize)]
struct Case {
    name: String,
    why: &'static str,
    bytes: String,
    gives: Value,
}

#[test]
fn columns() {
    let cases = [kinds(), integers(), floats(), strings(), blocks(), objects(), refused()];
    check("columns.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

/// A base, which is encoded and decoded.
fn case(name: &str, why: &'static str, rows: Vec<Row>) -> Case {
    let gives = describe(&rows);
    let bytes = encode(&Base::new(rows).unwrap());
    assert_eq!(describe(read(&bytes).rows()), gives);
    Case { name: name.to_owned(), why, bytes: hex::encode(bytes), gives }
}

fn read(bytes: &[u8]) -> Base {
    decode(bytes, &Limits::default()).unwrap()
}

/// Rows as they are read by people: numbers of 64 bits are strings, floats and bytes hexadecimal.
pub(crate) fn describe(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        let content = match &row.content {
            Content::Map => json!("map"),
            Content::Text(text) => json!({ "text": text }),
            Content::Counter(total) => json!({ "counter": total.to_string() }),
            Content::Value(Held::Null) => json!("null"),
            Content::Value(Held::Bool(value)) => json!({ "bool": value }),
            Content::Value(Held::Int(value)) => json!({ "int": value.to_string() }),
            Content::Value(Held::Uint(value)) => json!({ "uint": value.to_string() }),
            Content::Value(Held::Float(value)) => {
                json!({ "float": format!("{:016x}", value.to_bits()) })
            }
            Content::Value(Held::Text(value)) => json!({ "string": value }),
            Content::Value(Held::Bytes(value)) => json!({ "bytes": hex::encode(value) }),
        };
        let fixed = if row.fixed { " fixed" } else { "" };
        json!([format!("{}{fixed}", row.object), row.key, content])
    });
    rows.collect()
}

fn row(object: u32, key: impl AsRef<str>, content: Content) -> Row {
    Row { object, key: key.as_ref().into(), content, fixed: false }
}

fn value(object: u32, key: impl AsRef<str>, value: Held) -> Row {
    row(object, key, Content::Value(value))
}

/// A text under a key that is what it says.
fn text(text: &str) -> Row {
    Row { fixed: true, ..row(0, format!("1{text}"), Content::Text(text.to_owned())) }
}

/// A dictionary in the root: one column for each kind.
fn dictionary(values: impl IntoIterator<Item = Held>) -> Vec<Row> {
    let rows = (100_000_u32..).zip(values).map(|(key, held)| value(0, key.to_string(), held));
    rows.collect()
}

fn kinds() -> Vec<Case> {
    let contents = [
        Content::Value(Held::Null),
        Content::Value(Held::Bool(true)),
        Content::Value(Held::Int(-1)),
        Content::Value(Held::Uint(u64::MAX)),
        Content::Value(Held::Float(0.1)),
        Content::Value(Held::Text("caf\u{e9}".to_owned())),
        Content::Value(Held::Bytes(vec![0, 255])),
        Content::Counter(i64::MIN),
        Content::Map,
    ];
    let rows = |fixed| {
        let rows = (1..).zip(contents.clone());
        rows.map(move |(key, content): (u8, _)| Row { fixed, ..row(0, key.to_string(), content) })
    };
    let keys = ["", "/", "1", "a/b%2F", "caf\u{e9}", "\u{1f30d}"];
    let keys = keys.into_iter().map(|key| value(0, key, Held::Null));
    vec![
        case("empty", "no rows: the root alone", Vec::new()),
        case("kinds", "each kind of content", rows(false).collect()),
        case("kinds-fixed", "the same, well known", rows(true).collect()),
        case("keys", "keys that are no properties", keys.collect()),
        case(
            "kinds-texts",
            "what a base of texts has",
            ["", "a", "caf\u{e9} \u{1f30d}"].map(text).into(),
        ),
    ]
}

fn integers() -> Vec<Case> {
    let ints = |numbers: Vec<i64>| dictionary(numbers.into_iter().map(Held::Int));
    let scattered = |at: i64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
    vec![
        case("integers-same", "nothing is left of them", ints(vec![7; 40])),
        case("integers-plain", "step 0", ints((0..40).map(|at| scattered(at) >> 52).collect())),
        case("integers-wide", "eight blocks", ints((0..40).map(scattered).collect())),
        case("integers-rising", "step 1", ints((0..40).map(|at| 1_000 + at * 3).collect())),
        case("integers-square", "step 2", ints((0..40).map(|at| at * at * at).collect())),
        case("integers-ends", "they wrap", ints(vec![i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN])),
    ]
}

fn floats() -> Vec<Case> {
    let floats = |numbers: Vec<f64>| dictionary(numbers.into_iter().map(Held::Float));
    let numbers = || (0_u16..20).map(|at| at * at * 7);
    let single = |number: u16| f64::from(f32::from(number) / 10.0);
    let nan = [0x7ff8_0000_0000_0000, 0xfff0_0000_2000_0000, 0x8000_0000_0000_0000];
    let odd = [0x7ff0_0000_0000_0001, 0x0000_0000_0000_0001];
    let bits = |bits: &[u64]| bits.iter().map(|bits| f64::from_bits(*bits)).collect();
    vec![
        case("floats-halves", "byte 2", floats(numbers().map(|n| f64::from(n) / 8.0).collect())),
        case("floats-tenths", "byte 3", floats(numbers().map(|n| f64::from(n) / 10.0).collect())),
        case("floats-single-tenths", "byte 4", floats(numbers().map(single).collect())),
        case(
            "floats-single",
            "byte 1",
            floats(numbers().map(|n| f64::from(f32::from(n).sqrt())).collect()),
        ),
        case("floats-double", "byte 0", floats(numbers().map(|n| f64::from(n).sqrt()).collect())),
        case("floats-odd-single", "NaNs of 32 bits, and -0", floats(bits(&nan))),
        case("floats-odd-double", "a NaN and the smallest of 64 bits", floats(bits(&odd))),
    ]
}

fn strings() -> Vec<Case> {
    let texts = |texts: Vec<String>| dictionary(texts.into_iter().map(Held::Text));
    let colours = ["red", "green", "blue", "red", "red", "blue", "green", "green", "red", "blue"];
    let colours = colours.iter().cycle().take(60).enumerate();
    let colours = colours.map(|(at, colour)| if at % 7 == 3 { "grey" } else { *colour });
    let vectors = (0_u8..20).map(|at| {
        let floats = [f32::from(at) * 0.5, 1.5, f32::from(at).sqrt()];
        Held::Bytes(floats.iter().flat_map(|float| float.to_le_bytes()).collect())
    });
    vec![
        case("strings-whole", "byte 0", texts(vec!["a".into(), String::new(), "\u{e9}".into()])),
        case("strings-fronts", "byte 1", texts((0..20).map(|n| format!("name{n:04}")).collect())),
        case("strings-list", "byte 2", texts(colours.map(str::to_owned).collect())),
        case("strings-floats", "byte 3", dictionary(vectors)),
    ]
}

fn blocks() -> Vec<Case> {
    let mut state = 1_u32;
    let chance = (0..600).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let chance = dictionary([Held::Bytes(chance.collect())]);
    let words = "so it goes on, and on, and then it ends; ".repeat(20);
    vec![
        case("block-whole", "600 bytes of the tail", chance),
        case("block-deflated", "bytes of the tail, deflated", dictionary([Held::Text(words)])),
    ]
}

fn objects() -> Vec<Case> {
    let mut keys: Vec<_> = (0..12_u64)
        .map(|at| ElementId {
            actor: if at % 2 == 0 { [3; 8] } else { [0xe0; 8] },
            sequence: 120 + at,
            count: at,
        })
        .map(|id| id.to_key())
        .collect();
    keys.sort();
    let mut set = vec![Row { fixed: true, ..row(0, "1", Content::Map) }];
    set.extend(keys.iter().map(|key| row(1, key, Content::Map)));
    for object in 2..14 {
        set.push(value(object, "1", Held::Int(i64::from(object) * 10)));
        if object % 3 == 0 {
            set.push(value(object, "2", Held::Bool(object % 2 == 0)));
        }
    }
    let nested = vec![
        row(0, "1", Content::Map),
        row(0, "2", Content::Map),
        row(1, "1", Content::Map),
        row(2, "1", Content::Map),
        row(2, "2", Content::Counter(5)),
        value(4, "1", Held::Null),
    ];
    vec![
        case("objects-set", "elements of two authors, in another order than their keys", set),
        case("objects-nested", "maps in maps, one of them empty", nested),
    ]
}

fn refused() -> Vec<Case> {
    let refused = |name: &str, why, hexadecimal: &str| {
        let bytes = hex::decode(hexadecimal).unwrap();
        let fault = decode(&bytes, &Limits::default()).unwrap_err();
        let gives = json!({ "refused": format!("{fault:?}") });
        Case { name: format!("refused-{name}"), why, bytes: hexadecimal.to_owned(), gives }
    };
    vec![
        refused("nothing", "not even a version", ""),
        refused("version", "version 2", "020000"),
        refused("no-object", "the root is missing", "01040000000000"),
        refused("behind", "a byte behind the tail", "010a0000010000000000010000ff"),
        refused(
            "cycle",
            "an object that none before it holds",
            "011800010802010001000100000000010061000000020100010001",
        ),
        refused("keys", "one key twice", "011200010001000200000000010061000000010000"),
        refused("rows", "too many shapes", "01060000ffffffff0f"),
        refused("inflated", "a head of 2^40 bytes that is deflated to 3", "01808080808020030102fd"),
    ]
}
