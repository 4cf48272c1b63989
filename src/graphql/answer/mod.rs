//! The form of an answer: the order of the selection, and null where the specification says so.
//!
//! async-graphql puts fields into an answer as they become ready, leaves out those that fail, and answers null for an
//! object of which nothing is selected. The specification wants the order of the selection (§ 6.3.1), null for a field
//! that failed, or else for the nearest parent that may be null (§ 6.4.4), and an empty object. Here the answer is
//! brought into that form, by the document as it was before the execution.

mod completion;
mod form;
mod typenames;

#[cfg(test)]
mod tests;

pub use form::AnswerForm;
