//! What an operator does to a deployment from a terminal.
//!
//! Map: [`letters`] looks at messages of a queue and moves them, [`records`] reads a stream again, [`invoke`] invokes functions,
//! [`steps`] starts state machines and follows them.
//!
//! Apart from `platform`, which functions have: a linker leaves out what is not used of a crate, except for tables that say how to unwind,
//! and those of these clients were 5 % of a function.
//!
//! Deliberately absent: arguments and output of commands (`cli`). AWS clients stay inside.

pub mod invoke;
pub mod letters;
pub mod records;
pub mod steps;
