//! What the macros say of types that they cannot take.
//!
//! Here and not beside what they make of good types: each of these is compiled against all that its
//! crate depends on, which is little here.

#[test]
fn mistakes_are_told_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
