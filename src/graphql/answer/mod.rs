//! The form of an answer: fields in the order of the selection, and nulls where the specification requires them.
//!
//! async-graphql puts fields into an answer in the order in which they become ready, leaves out fields that fail, and
//! returns null for an object without selected fields. The specification requires the order of the selection (§
//! 6.3.1), null for a field that failed or else for its nearest nullable parent (§ 6.4.4), and an empty object. This
//! module brings answers into that form, based on the document as it was before execution.

mod completion;
mod form;
mod typenames;

#[cfg(test)]
mod tests;

pub use form::AnswerForm;
