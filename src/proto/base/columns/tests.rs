use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use smol_str::SmolStr;

use super::shape::Element;
use super::*;
use crate::proto::base::Base;
use crate::proto::change::leb128;
use crate::proto::datastore::ElementId;
use crate::proto::reason::ChangeFault;

/// What is at a key.
#[derive(Clone, Debug)]
enum Node {
    Leaf(Content),
    Map(Vec<(String, (Self, bool))>),
}

/// The base of a root with these keys.
fn base(root: Vec<(String, (Node, bool))>) -> Base {
    let mut rows = Vec::new();
    let mut queue = vec![root];
    let mut at = 0;
    while at < queue.len() {
        let object = u32::try_from(at).unwrap();
        for (key, (node, fixed)) in queue[at].clone() {
            let content = match node {
                Node::Leaf(content) => content,
                Node::Map(below) => {
                    queue.push(below);
                    Content::Map
                }
            };
            rows.push(Row { object, key: SmolStr::new(key), content, fixed });
        }
        at += 1;
    }
    Base::new(rows).unwrap()
}

fn rows(base: &Base) -> Vec<Row> {
    base.rows().to_vec()
}

/// Equal, floats by their bits.
fn same(a: &Base, b: &Base) -> bool {
    a.maps() == b.maps()
        && a.rows().len() == b.rows().len()
        && a.rows().iter().zip(b.rows()).all(|(a, b)| {
            let content = match (&a.content, &b.content) {
                (Content::Value(a), Content::Value(b)) => a.same(b),
                (a, b) => a == b,
            };
            content && (a.object, &a.key, a.fixed) == (b.object, &b.key, b.fixed)
        })
}

fn assert_round_trip(base: &Base) -> usize {
    let bytes = encode(base);
    let read = decode(&bytes, &Limits::default()).unwrap();
    assert!(same(&read, base), "{:?} is not {:?}", rows(&read), rows(base));
    assert_eq!(encode(&read), bytes, "the same base has other bytes");
    for budget in [1, 50] {
        let mut encoder = Encoder::new(base.clone());
        let sliced = std::iter::repeat_with(|| encoder.step(budget)).find_map(|bytes| bytes);
        assert_eq!(sliced, Some(bytes.clone()), "slices of {budget} make other bytes");
    }
    bytes.len()
}

fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        any::<u32>().prop_map(|bits| f64::from(f32::from_bits(bits))),
        any::<i16>().prop_map(|number| f64::from(number) / 8.0),
        any::<i16>().prop_map(|number| f64::from(number) / 100.0),
        any::<i16>().prop_map(|number| f64::from(f32::from(number) / 100.0)),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::from_bits(0x7ff8_0000_2000_0000)),
    ]
}

fn values() -> impl Strategy<Value = Content> {
    let numbers = || prop_oneof![any::<i64>(), -5..5_i64, Just(i64::MIN)];
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        numbers().prop_map(Value::Int),
        any::<u64>().prop_map(Value::Uint),
        floats().prop_map(Value::Float),
        prop_oneof![".{0,20}", "a{0,2}", "[a-z]{600,700}"].prop_map(Value::Text),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        [any::<f32>(), any::<f32>()]
            .prop_map(|[x, y]| Value::Bytes([x.to_le_bytes(), y.to_le_bytes()].concat())),
    ];
    prop_oneof![value.prop_map(Content::Value), numbers().prop_map(Content::Counter)]
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..12_u16).prop_map(|number| number.to_string()),
        ".{0,8}",
        "[a/]{0,3}",
        "[A-Za-z0-9_-]{14,20}",
        (0..3_u8, any::<u64>(), 0..400_u64).prop_map(|(actor, sequence, count)| {
            let (actor, sequence) = ([actor; 8], sequence >> (count % 64) >> 1);
            ElementId { actor, sequence, count }.to_key()
        }),
    ]
}

fn nodes() -> impl Strategy<Value = Vec<(String, (Node, bool))>> {
    let map = |node: BoxedStrategy<Node>, most| {
        btree_map(keys(), (node, prop::bool::weighted(0.1)), 0..most)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
    };
    let leaf = values().prop_map(Node::Leaf).boxed();
    let tree =
        leaf.prop_recursive(4, 200, 20, move |node| map(node.boxed(), 20).prop_map(Node::Map));
    map(tree.boxed(), 20).prop_map(|mut root| {
        // No map stands under the root's empty key.
        root.retain(|(key, (node, _))| !key.is_empty() || matches!(node, Node::Leaf(_)));
        root
    })
}

/// Maps alike, whose columns have many values.
fn alike() -> impl Strategy<Value = Vec<(String, (Node, bool))>> {
    let column = prop_oneof![
        vec(values(), 300),
        vec(floats().prop_map(|float| Content::Value(Value::Float(float))), 300),
        vec(any::<i64>(), 3).prop_map(|at| {
            let number = |place: i64| at[0].wrapping_add(at[1].wrapping_mul(place)) ^ (at[2] >> 50);
            (0..300).map(|place| Content::Value(Value::Int(number(place)))).collect()
        }),
        vec(".{0,12}".prop_map(|text| Content::Value(Value::Text(text))), 300),
        vec("(red|green|blue)".prop_map(|text| Content::Value(Value::Text(text))), 300),
    ];
    (vec(column, 1..5), any::<bool>()).prop_map(|(columns, elements)| {
        let key = |at: usize| {
            let [actor, ..] = (at % 3).to_le_bytes();
            let id = ElementId { actor: [actor; 8], sequence: at as u64 / 9, count: at as u64 };
            if elements { id.to_key() } else { format!("{at:03}") }
        };
        let object = |at: usize| {
            let values = columns.iter().enumerate().map(|(place, column)| {
                (place.to_string(), (Node::Leaf(column[at].clone()), false))
            });
            Node::Map(values.collect())
        };
        let mut objects: Vec<_> = (0..300).map(|at| (key(at), (object(at), false))).collect();
        objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        vec![("1".to_owned(), (Node::Map(objects), true))]
    })
}

proptest! {
    #[test]
    fn bases_are_read_back(root in nodes()) {
        assert_round_trip(&base(root));
    }

    #[test]
    fn many_alike_are_read_back(root in alike()) {
        assert_round_trip(&base(root));
    }

    #[test]
    fn keys_of_elements_are_told_from_others(key in keys()) {
        let element = Element::parse(&key);
        prop_assert!(element.is_none() || ElementId::parse(&key).is_some());
    }

    #[test]
    fn no_bytes_panic(mut bytes in vec(any::<u8>(), 0..200), version: bool) {
        if version && let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        let _base = decode(&bytes, &Limits::default());
    }

    #[test]
    fn spoilt_bytes_make_bases_or_nothing(
        root in nodes(),
        spoils in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: prop::sample::Index,
    ) {
        let mut head = write::loose(&base(root));
        for (at, byte) in spoils {
            let at = at.index(head.len());
            head[at] = byte;
        }
        let limits = Limits { rows: 10_000, snapshot: 1 << 20, ..Limits::default() };
        if let Ok(read) = decode(&head, &limits) {
            prop_assert!(Base::new(rows(&read)).is_some(), "rows out of order");
            assert_round_trip(&read);
        }
        head.truncate(cut.index(head.len()));
        let _base = decode(&head, &limits);
    }
}

#[test]
fn no_map_stands_under_the_roots_empty_key() {
    let row = |object, content| Row { object, key: SmolStr::default(), content, fixed: false };
    let rows = vec![row(0, Content::Map), row(1, Content::Counter(1))];
    assert!(Base::new(rows.clone()).is_none());
    let nameless = Base { rows: Arc::new(rows), maps: [0].into(), starts: Arc::default() };
    assert_eq!(refused(&encode(&nameless)), Some(ChangeFault::WrongPlace));
    // A value may stand there, and a map in any other object.
    assert_round_trip(&Base::new(vec![row(0, Content::Counter(1))]).unwrap());
    let named = Row { key: "1".into(), ..row(0, Content::Map) };
    assert_round_trip(&Base::new(vec![named, row(1, Content::Map)]).unwrap());
}

#[test]
fn nothing_is_an_empty_base() {
    assert!(assert_round_trip(&Base::default()) < 20);
}

#[test]
fn what_is_left_out_or_added_is_malformed() {
    let bytes = encode(&crowd(200, object));
    for length in 0..bytes.len() {
        let read = decode(&bytes[..length], &Limits::default());
        assert!(read.is_err(), "{length} of {} bytes are a base", bytes.len());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(decode(&longer, &Limits::default()).err(), Some(ChangeFault::Malformed));
}

/// A set of objects by eight authors, under a well-known key.
fn crowd(count: u64, object: impl Fn(u64) -> Vec<Value>) -> Base {
    let mut objects: Vec<_> = (0..count)
        .map(|at| {
            let mark = (at % 8).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let actor = mark.to_le_bytes();
            let id = ElementId { actor, sequence: at / 800 + 2, count: at / 8 };
            let values = (1..).zip(object(at));
            let mut values: Vec<_> = values
                .map(|(id, value): (u16, _)| {
                    (id.to_string(), (Node::Leaf(Content::Value(value)), false))
                })
                .collect();
            values.sort_by(|(a, _), (b, _)| a.cmp(b));
            (id.to_key(), (Node::Map(values), false))
        })
        .collect();
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    base(vec![("1".to_owned(), (Node::Map(objects), true))])
}

/// Ten properties much like those of the object before.
fn object(number: u64) -> Vec<Value> {
    let whole = f64::from(u32::try_from(number).unwrap());
    let part = number.cast_signed();
    vec![
        Value::Float(whole),
        Value::Float(whole * 0.5 + 0.25),
        Value::Float(whole * 2.0),
        Value::Int(part),
        Value::Int(part % 100),
        Value::Int(part * 3 + 1),
        Value::Bool(number.is_multiple_of(2)),
        Value::Bool(number.is_multiple_of(5)),
        Value::Text(format!("name{:04}", number % 10_000)),
        Value::Text(format!("kind{:04}", number % 20)),
    ]
}

/// Ten properties that follow from nothing.
fn chance(number: u64) -> Vec<Value> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut values = Vec::new();
    for _ in 0..3 {
        let part = f64::from(u32::try_from(next() >> 40).unwrap());
        #[expect(clippy::cast_possible_truncation, reason = "rounded to have 32 bits")]
        let float = ((part / 16_777_216.0 - 0.5) * 1000.0) as f32;
        values.push(Value::Float(float.into()));
    }
    for _ in 0..3 {
        values.push(Value::Int((next() >> 44).cast_signed()));
    }
    for _ in 0..2 {
        values.push(Value::Bool(next() & 1 == 1));
    }
    for _ in 0..2 {
        let letters = next().to_le_bytes();
        values.push(Value::Text(letters.iter().map(|byte| char::from(b'a' + byte % 26)).collect()));
    }
    values
}

#[test]
fn ten_thousand_alike_take_little() {
    let size = assert_round_trip(&crowd(10_000, object));
    assert!(size < 3_000, "{size} bytes");
}

#[test]
fn ten_thousand_unlike_take_little_more_than_what_they_say() {
    let size = assert_round_trip(&crowd(10_000, chance));
    assert!(size < 285_000, "{size} bytes");
}

/// Bytes of which few claim much: a head of this, and no tail.
fn bomb(say: impl FnOnce(&mut block::Writer)) -> Vec<u8> {
    let mut out = block::Writer::default();
    say(&mut out);
    let mut packer = pack::Packer::default();
    packer.take(out);
    packer.step(usize::MAX);
    let (head, tail) = packer.into_streams();
    let length = head.len();
    let mut head = pack::Squeeze::new(head);
    head.step(usize::MAX);
    write::ended(length, head.finish(), &tail)
}

fn refused(bytes: &[u8]) -> Option<ChangeFault> {
    decode(bytes, &Limits::default()).err()
}

/// A shape of the root with one map, and one of `keys` elements whose values are in column 1.
fn say_shapes(out: &mut block::Writer, keys: u64, kind: u8) {
    let element = |count| Element { actor: [7; 8], sequence: 1, count };
    let root = shape::Keys { plain: vec!["1".into()], columns: vec![0], ..shape::Keys::default() };
    let columns = (0..keys).map(|_| 1).collect();
    let many = shape::Keys { plain: vec![], elements: (0..keys).map(element).collect(), columns };
    out.unsigned(2);
    out.bytes(&[MAP, kind]);
    shape::write(out, &[root, many]);
}

#[test]
fn rows_are_counted_before_they_are_made() {
    // A thousand shapes of ten thousand rows each.
    let bytes = bomb(|out| {
        say_shapes(out, 10_000, MAP);
        out.unsigned(10_002);
        integers::write(out, &[vec![0], vec![1; 10_001]].concat());
    });
    assert!(bytes.len() < 1_000, "{} bytes", bytes.len());
    assert_eq!(refused(&bytes), Some(ChangeFault::TooLarge));

    let shapes = bomb(|out| {
        out.unsigned(0);
        out.unsigned(usize::MAX / 2);
    });
    assert_eq!(refused(&shapes), Some(ChangeFault::TooLarge));

    let objects = bomb(|out| {
        say_shapes(out, 1, NULL);
        out.unsigned(usize::MAX / 2);
    });
    assert_eq!(refused(&objects), Some(ChangeFault::TooLarge));
}

#[test]
fn as_many_rows_as_allowed_are_read() {
    let bytes = bomb(|out| {
        say_shapes(out, 999, NULL);
        out.unsigned(2);
        integers::write(out, &[0, 1]);
    });
    let limits = |rows| Limits { rows, ..Limits::default() };
    assert_eq!(decode(&bytes, &limits(1_000)).map(|base| base.rows().len()), Ok(1_000));
    assert_eq!(decode(&bytes, &limits(999)).err(), Some(ChangeFault::TooLarge));
}

#[test]
fn what_is_inflated_is_bounded() {
    // A block that claims more than deflate can make, and a head that does.
    let block = bomb(|out| {
        say_shapes(out, 1, BYTES);
        out.unsigned(2);
        integers::write(out, &[0, 1]);
        out.byte(0);
        integers::write(out, &[1 << 40]);
        out.bytes(&[3, 0]);
    });
    assert_eq!(refused(&block), Some(ChangeFault::Malformed));
    let mut head = vec![VERSION];
    let claims = [1 << 40, 3_u64];
    claims.into_iter().for_each(|number| leb128::write_unsigned(&mut head, number));
    head.extend([1, 2, 3]);
    assert_eq!(refused(&head), Some(ChangeFault::Malformed));

    let zeros = bomb(|out| out.bytes(&vec![0; 1 << 20]));
    assert!(zeros.len() < 2_000, "{} bytes", zeros.len());
    let limits = Limits { snapshot: 1 << 19, ..Limits::default() };
    assert_eq!(decode(&zeros, &limits).err(), Some(ChangeFault::TooLarge));
}

#[test]
fn what_is_repeated_is_bounded() {
    // A hundred thousand times one string of a megabyte.
    let bytes = bomb(|out| {
        say_shapes(out, 100_000, BYTES);
        out.unsigned(2);
        integers::write(out, &[0, 1]);
        out.byte(2);
        out.unsigned(1);
        integers::write(out, &vec![0; 100_000]);
        out.byte(0);
        integers::write(out, &[1 << 20]);
        out.block(&vec![b'x'; 1 << 20]);
    });
    assert!(bytes.len() < 1_000, "{} bytes", bytes.len());
    assert_eq!(refused(&bytes), Some(ChangeFault::TooLarge));
}

#[test]
fn keys_and_depth_have_their_limits() {
    let long = base(vec![("x".repeat(20), (Node::Map(Vec::new()), false))]);
    let bytes = encode(&long);
    let keys = |key| Limits { key, ..Limits::default() };
    assert!(decode(&bytes, &keys(20)).is_ok());
    assert_eq!(decode(&bytes, &keys(19)).err(), Some(ChangeFault::TooLarge));

    let element = ElementId { actor: [1; 8], sequence: 1, count: 1 }.to_key();
    let bytes = encode(&base(vec![(element, (Node::Map(Vec::new()), false))]));
    assert!(decode(&bytes, &keys(14)).is_ok());
    assert_eq!(decode(&bytes, &keys(13)).err(), Some(ChangeFault::TooLarge));

    let leaf = Node::Leaf(Content::Counter(1));
    let deep = (0..5).fold(leaf, |node, _| Node::Map(vec![("1".to_owned(), (node, false))]));
    let bytes = encode(&base(vec![("1".to_owned(), (deep, false))]));
    let depth = |depth| Limits { depth, ..Limits::default() };
    assert!(decode(&bytes, &depth(6)).is_ok());
    assert_eq!(decode(&bytes, &depth(5)).err(), Some(ChangeFault::TooLarge));
}
