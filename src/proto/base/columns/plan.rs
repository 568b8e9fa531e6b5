//! Which columns a base has, and which rows are in each, found object by object.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::Kind;
use super::shape::{Element, Keys};
use crate::proto::base::{Base, Content, Row};

/// An object with more keys than this, or with longer ones than [`PROPERTY`], is no record: its
/// values are in one column for each kind.
const RECORD: usize = 64;

/// The longest key of a property: a number of 16 bits.
const PROPERTY: usize = 5;

/// Which objects are alike: those at one place, the elements of a collection being at one. Objects
/// of one class that have a key in common share its column.
type Class = u32;

/// What a shape follows from: the class, and the keys with what they hold.
type Signature = (Class, Vec<(SmolStr, Kind)>);

/// What is written.
#[derive(Debug)]
pub(super) struct Plan {
    /// The places of the rows in each column.
    pub(super) columns: Vec<(Kind, Vec<u32>)>,
    pub(super) shapes: Vec<Keys>,
    /// The shape of each object, in the order in which they are written.
    pub(super) objects: Vec<i64>,

    /// Where the rows of each object begin, as far as rows were looked at, and where the last end.
    starts: Vec<u32>,
    seen: u32,
    /// Objects in the order in which they are written, each with its class: those before `at` are done.
    queue: Vec<(u32, Class)>,
    at: usize,
    opening: Option<Opening>,
    open: Option<Open>,
    /// Columns by class, key (none for what is not a record) and kind.
    numbers: BTreeMap<(Class, Option<SmolStr>, Kind), u32>,
    known: BTreeMap<Signature, usize>,
    classes: BTreeMap<(Class, Option<SmolStr>), Class>,
    /// For each shape the places of its keys among an object's rows, and the first row of an object
    /// that has it.
    orders: Vec<(Vec<u32>, usize)>,
    /// The shape that was last used in each class.
    last: BTreeMap<Class, usize>,
}

/// An object whose rows are being put into their columns.
#[derive(Debug)]
struct Open {
    class: Class,
    shape: usize,
    /// Where its rows begin, and which object the first map in it is.
    first: usize,
    below: u32,
    /// How many of them are in their columns.
    done: usize,
}

/// An object with a shape that may be new: the ids among its keys are being read.
#[derive(Debug)]
struct Opening {
    object: u32,
    class: Class,
    elements: Vec<Option<Element>>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            shapes: Vec::new(),
            objects: Vec::new(),
            starts: Vec::new(),
            seen: 0,
            queue: vec![(0, 0)],
            at: 0,
            opening: None,
            open: None,
            numbers: BTreeMap::new(),
            known: BTreeMap::new(),
            classes: BTreeMap::new(),
            orders: Vec::new(),
            last: BTreeMap::new(),
        }
    }
}

impl Plan {
    /// Goes on through about `budget` rows. Returns how much of it is left: something, once every
    /// object is done. At most a collection's keys are put in order at once.
    pub(super) fn step(&mut self, base: &Base, mut budget: usize) -> usize {
        while budget > 0 {
            let took = if (self.seen as usize) < base.rows().len() {
                self.look(base, budget)
            } else if let Some(open) = self.open.take() {
                self.place(base, open, budget)
            } else if let Some(opening) = self.opening.take() {
                self.read(base, opening, budget)
            } else if let Some(&(object, class)) = self.queue.get(self.at) {
                self.at += 1;
                self.begin(base, object, class);
                1
            } else {
                break;
            };
            budget = budget.saturating_sub(took);
        }
        budget
    }

    /// Finds where the objects' rows begin.
    fn look(&mut self, base: &Base, budget: usize) -> usize {
        let rows = base.rows().get(self.seen as usize..).unwrap_or_default();
        let rows = &rows[..rows.len().min(budget)];
        for row in rows {
            while self.starts.len() <= row.object as usize {
                self.starts.push(self.seen);
            }
            self.seen += 1;
        }
        rows.len()
    }

    /// The place of an object's first row, and its rows.
    fn rows_of<'a>(&self, base: &'a Base, object: u32) -> (usize, &'a [Row]) {
        let start = |object: usize| self.starts.get(object).copied().unwrap_or(self.seen) as usize;
        let (first, end) = (start(object as usize), start(object as usize + 1));
        (first, &base.rows()[first..end])
    }

    /// Begins an object: most have the shape of the last one of their class.
    fn begin(&mut self, base: &Base, object: u32, class: Class) {
        let (first, rows) = self.rows_of(base, object);
        let alike = self.last.get(&class).copied().filter(|shape| {
            let (order, other) = &self.orders[*shape];
            order.len() == rows.len()
                && rows
                    .iter()
                    .zip(&base.rows()[*other..])
                    .all(|(row, other)| row.key == other.key && Kind::of(row) == Kind::of(other))
        });
        match alike {
            Some(shape) => self.open(base, class, shape, first),
            None => self.opening = Some(Opening { object, class, elements: Vec::new() }),
        }
    }

    /// Reads the ids among an object's keys, and looks for its shape.
    fn read(&mut self, base: &Base, mut opening: Opening, budget: usize) -> usize {
        let (first, rows) = self.rows_of(base, opening.object);
        let more = &rows[opening.elements.len()..];
        let more = &more[..more.len().min(budget)];
        opening.elements.extend(more.iter().map(|row| Element::parse(&row.key)));
        if opening.elements.len() < rows.len() {
            self.opening = Some(opening);
            return more.len();
        }
        let Opening { class, elements, .. } = opening;
        let keys = rows.iter().map(|row| (row.key.clone(), Kind::of(row)));
        let signature = (class, keys.collect());
        let shape = match self.known.get(&signature) {
            Some(shape) => *shape,
            None => self.shape(rows, first, &elements, class),
        };
        self.known.insert(signature, shape);
        self.last.insert(class, shape);
        self.open(base, class, shape, first);
        more.len().max(1)
    }

    fn open(&mut self, base: &Base, class: Class, shape: usize, first: usize) {
        self.objects.push(i64::try_from(shape).unwrap_or(i64::MAX));
        let before = base.maps().partition_point(|place| (*place as usize) < first);
        let below = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        self.open = Some(Open { class, shape, first, below, done: 0 });
    }

    /// Puts the rows of an object into their columns, and the objects that it holds into the queue.
    fn place(&mut self, base: &Base, mut open: Open, budget: usize) -> usize {
        let Open { class, shape, first, below, done } = open;
        let order = &self.orders[shape].0;
        let upto = done.saturating_add(budget).min(order.len());
        let record = is_record(&base.rows()[first..first + order.len()]);
        let columns = &self.shapes[shape].columns;
        for (at, column) in order[done..upto].iter().zip(&columns[done..upto]) {
            let place = first + *at as usize;
            let row = &base.rows()[place];
            let number = u32::try_from(place).unwrap_or(u32::MAX);
            self.columns[*column as usize].1.push(number);
            if row.content == Content::Map {
                let maps = &base.maps()[below as usize - 1..];
                let before = maps.partition_point(|map| *map < number);
                let object = below + u32::try_from(before).unwrap_or(u32::MAX);
                let next = u32::try_from(self.classes.len()).unwrap_or(u32::MAX) + 1;
                let name = (class, record.then(|| row.key.clone()));
                self.queue.push((object, *self.classes.entry(name).or_insert(next)));
            }
        }
        open.done = upto;
        let whole = upto == order.len();
        self.open = (!whole).then_some(open);
        (upto - done).max(1)
    }

    /// A shape that was not there before.
    fn shape(
        &mut self,
        rows: &[Row],
        first: usize,
        elements: &[Option<Element>],
        class: Class,
    ) -> usize {
        let mut order: Vec<u32> = (0..).take(rows.len()).collect();
        if elements.iter().any(Option::is_some) {
            order.sort_by_key(|place| elements[*place as usize]);
        }
        let record = is_record(rows);
        let mut keys = Keys::default();
        for place in &order {
            let row = &rows[*place as usize];
            match elements[*place as usize] {
                Some(element) => keys.elements.push(element),
                None => keys.plain.push(row.key.clone()),
            }
            let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
            let kind = Kind::of(row);
            let name = (class, record.then(|| row.key.clone()), kind);
            let column = *self.numbers.entry(name).or_insert(next);
            if column == next {
                self.columns.push((kind, Vec::new()));
            }
            keys.columns.push(column);
        }
        self.shapes.push(keys);
        self.orders.push((order, first));
        self.shapes.len() - 1
    }
}

fn is_record(rows: &[Row]) -> bool {
    rows.len() <= RECORD && rows.iter().all(|row| row.key.len() <= PROPERTY)
}
