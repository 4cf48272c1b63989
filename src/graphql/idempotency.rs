//! Mutations of requests with an `Idempotency-Key` (R91): each is carried out once, and answered from then on as it was
//! the first time.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::registry::Registry;
use async_graphql::resolver_utils::resolve_container_serial;
use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult, Value, async_trait,
    parser::types::Field,
};
use rollcall_domain::Error;
use rollcall_domain::base::limits;
use rollcall_domain::database::idempotency::{Known, RepeatableRequest, Step};
use tokio::time::{Instant, sleep};

use super::Mutations;
use super::context::{database, request};
use super::error::top_level;

/// How often it is looked whether a mutation that was carried out has been answered.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The fields of payloads that are shown once, and null where a mutation is sent again.
const SHOWN_ONCE: [&str; 6] = ["secret", "sessionToken", "url", "codes", "file", "acceptUrls"];

/// All changes. Each mutation takes one `input` and returns its own payload.
#[derive(Default)]
pub struct Mutation(Mutations);

#[async_trait::async_trait]
impl OutputType for Mutation {
    fn type_name() -> Cow<'static, str> {
        Mutations::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Mutations::create_type_info(registry)
    }

    async fn resolve(&self, context: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container_serial(context, self).await
    }
}

#[async_trait::async_trait]
impl ContainerType for Mutation {
    async fn resolve_field(&self, context: &Context<'_>) -> ServerResult<Option<Value>> {
        match request(context).repeatable() {
            Some(repeatable) => self.once(context, repeatable).await,
            None => self.0.resolve_field(context).await,
        }
    }
}

impl ObjectType for Mutation {}

impl Mutation {
    async fn once(&self, context: &Context<'_>, request: &Arc<RepeatableRequest>) -> ServerResult<Option<Value>> {
        let failed = |error: Error| context.set_error_path(top_level(error).into_server_error(context.item.pos));
        let name = context.item.node.response_key().node.as_str();
        loop {
            let step = match known(context, request, name).await.map_err(failed)? {
                Known::Answer(answer) => return read(&answer).map(Some).map_err(failed),
                Known::Refused(step) => return step.run(self.0.resolve_field(context)).await,
                Known::Nothing(step) => step,
            };
            let answer = step.run(self.0.resolve_field(context)).await;
            if step.was_overtaken() {
                // Something else was carried out under the key meanwhile. Whether it is the same request is known now.
                continue;
            }
            if let Ok(Some(value)) = &answer
                && let Some(text) = written(context, value)
                && let Err(error) = keep(context, &step, &text).await
            {
                tracing::error!(error = &error as &dyn std::error::Error, "the answer of a mutation isn't kept");
            }
            return answer;
        }
    }
}

/// What is known of a mutation. If it is being answered at this moment, this waits for the answer, for at most
/// [`limits::IDEMPOTENT_ANSWER_WAIT`].
async fn known(context: &Context<'_>, request: &Arc<RepeatableRequest>, name: &str) -> Result<Known, Error> {
    let patience = Instant::now() + limits::IDEMPOTENT_ANSWER_WAIT;
    loop {
        let found = Known::find(&mut *database(context).connection().await?, request, name).await?;
        match found {
            Some(known) => return Ok(known),
            None if Instant::now() >= patience => return Ok(Known::unanswered(request, name)),
            None => sleep(LOOK_EVERY).await,
        }
    }
}

async fn keep(context: &Context<'_>, step: &Step, answer: &str) -> Result<(), Error> {
    step.answered(&mut *database(context).connection().await?, answer).await
}

/// The text of an answer, without what is shown once.
fn written(context: &Context<'_>, answer: &Value) -> Option<String> {
    let mut answer = answer.clone();
    if let Value::Object(payload) = &mut answer {
        for field in context.field().selection_set().filter(|field| SHOWN_ONCE.contains(&field.name())) {
            if let Some(value) = payload.get_mut(field.alias().unwrap_or_else(|| field.name())) {
                *value = Value::Null;
            }
        }
    }
    serde_json::to_string(&answer).ok()
}

fn read(answer: &str) -> Result<Value, Error> {
    serde_json::from_str(answer).map_err(|_| Error::Bug("a kept answer is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::types::{FieldDefinition, TypeKind, TypeSystemDefinition};
    use std::collections::BTreeSet;

    /// Whatever the schema says to be shown only once is a nullable field of a payload, or lies in one, and is left out of
    /// kept answers.
    #[test]
    fn what_is_shown_once_is_not_kept() {
        let sdl = crate::graphql::sdl();
        let document = async_graphql::parser::parse_schema(&sdl).unwrap();
        let mut shown_once = BTreeSet::new();
        let (mut in_payloads, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for definition in document.definitions {
            let TypeSystemDefinition::Type(ty) = definition else { continue };
            let TypeKind::Object(object) = ty.node.kind else { continue };
            for field in object.fields {
                let FieldDefinition { name, description, ty: of, .. } = field.node;
                if !description.is_some_and(|text| text.node.contains("only this once")) {
                    continue;
                }
                if ty.node.name.node.ends_with("Payload") {
                    assert!(of.node.nullable, "{}.{name}", ty.node.name);
                    shown_once.insert(name.node.to_string());
                    in_payloads.insert(of.node.to_string().replace(['[', ']', '!'], ""));
                } else {
                    elsewhere.insert(ty.node.name.node.to_string());
                }
            }
        }
        assert_eq!(shown_once, SHOWN_ONCE.map(str::to_owned).into());
        assert!(elsewhere.is_subset(&in_payloads), "{elsewhere:?}");
    }
}
