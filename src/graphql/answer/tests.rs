use async_graphql::{EmptySubscription, Interface, Object, Request, Schema, Union, Variables};
use serde_json::json;

use super::AnswerForm;
use crate::graphql::types::Types;

/// Lets other fields become ready first.
async fn wait() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

struct Cat;

#[Object]
impl Cat {
    async fn name(&self) -> &str {
        wait().await;
        "Tom"
    }

    async fn lives(&self) -> i32 {
        9
    }

    async fn friend(&self) -> Option<Dog> {
        wait().await;
        Some(Dog)
    }
}

struct Dog;

#[Object]
impl Dog {
    async fn name(&self) -> &str {
        "Rex"
    }

    async fn bark(&self) -> &str {
        wait().await;
        "woof"
    }

    async fn broken(&self) -> async_graphql::Result<i32> {
        Err("broken".into())
    }

    async fn broken_if_any(&self) -> async_graphql::Result<Option<i32>> {
        wait().await;
        Err("broken".into())
    }
}

#[derive(Interface)]
#[graphql(field(name = "name", ty = "&str"))]
enum Animal {
    Cat(Cat),
    Dog(Dog),
}

#[derive(Union)]
enum Pet {
    Cat(Cat),
    Dog(Dog),
}

struct Query;

#[Object]
impl Query {
    async fn slow(&self) -> &str {
        wait().await;
        wait().await;
        "slow"
    }

    async fn quick(&self) -> &str {
        "quick"
    }

    async fn cat(&self) -> Option<Cat> {
        wait().await;
        Some(Cat)
    }

    async fn dog(&self) -> Option<Dog> {
        Some(Dog)
    }

    async fn sure_dog(&self) -> Dog {
        Dog
    }

    async fn nobody(&self) -> Option<Dog> {
        None
    }

    async fn animal(&self, cat: bool) -> Option<Animal> {
        wait().await;
        Some(if cat { Animal::Cat(Cat) } else { Animal::Dog(Dog) })
    }

    async fn animals(&self) -> Vec<Option<Animal>> {
        vec![Some(Animal::Dog(Dog)), None, Some(Animal::Cat(Cat))]
    }

    async fn pets(&self) -> Option<Vec<Pet>> {
        Some(vec![Pet::Cat(Cat), Pet::Dog(Dog)])
    }

    async fn failing(&self) -> async_graphql::Result<Option<i32>> {
        Err("failing".into())
    }

    async fn failing_always(&self) -> async_graphql::Result<i32> {
        Err("failing".into())
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn count(&self, to: i32) -> i32 {
        to
    }

    async fn fail(&self) -> async_graphql::Result<i32> {
        Err("failing".into())
    }
}

/// Executes a query. Returns the answer's data as JSON, and the paths of its errors.
async fn ask_with(query: &str, variables: serde_json::Value) -> (String, Vec<serde_json::Value>) {
    let schema = Schema::new(Query, Mutation, EmptySubscription);
    let types = Types::new(&schema.sdl()).unwrap();
    let mut request = Request::new(query).variables(Variables::from_json(variables));
    let form = AnswerForm::of(&types, &mut request);
    let mut response = schema.execute(request).await;
    form.unwrap().complete(&mut response);
    let paths = response.errors.iter().map(|error| serde_json::to_value(&error.path).unwrap()).collect();
    (serde_json::to_string(&response.data).unwrap(), paths)
}

async fn ask(query: &str) -> String {
    let (data, errors) = ask_with(query, json!({})).await;
    assert!(errors.is_empty(), "{query}: {errors:?}");
    data
}

#[tokio::test]
async fn fields_stand_in_the_order_of_the_selection() {
    for (query, expected) in [
        ("{ slow quick }", r#"{"slow":"slow","quick":"quick"}"#),
        ("{ quick slow again: quick }", r#"{"quick":"quick","slow":"slow","again":"quick"}"#),
        ("{ cat { name lives } quick }", r#"{"cat":{"name":"Tom","lives":9},"quick":"quick"}"#),
        ("{ z: slow __typename a: quick }", r#"{"z":"slow","__typename":"Query","a":"quick"}"#),
        // Fields of fragments are where the fragment is spread first, and a field that is selected twice appears once.
        ("{ ...F quick ...F } fragment F on Query { slow }", r#"{"slow":"slow","quick":"quick"}"#),
        ("{ quick ... { slow ... on Query { quick x: quick } } }", r#"{"quick":"quick","slow":"slow","x":"quick"}"#),
        (
            "{ cat { lives } quick cat { name friend { bark } } cat { friend { name bark } lives } }",
            r#"{"cat":{"lives":9,"name":"Tom","friend":{"bark":"woof","name":"Rex"}},"quick":"quick"}"#,
        ),
        (
            "{ animals { __typename ... on Cat { name lives } ... on Dog { bark name } } }",
            r#"{"animals":[{"__typename":"Dog","bark":"woof","name":"Rex"},null,{"__typename":"Cat","name":"Tom","lives":9}]}"#,
        ),
        (
            "{ animals { ...A name ...D } } fragment A on Animal { ...C } fragment C on Cat { friend { bark name } lives } \
             fragment D on Dog { bark n: name }",
            r#"{"animals":[{"name":"Rex","bark":"woof","n":"Rex"},null,{"friend":{"bark":"woof","name":"Rex"},"lives":9,"name":"Tom"}]}"#,
        ),
        (
            "{ pets { ... on Animal { name } ... on Cat { lives } ... on Dog { bark name } } }",
            r#"{"pets":[{"name":"Tom","lives":9},{"name":"Rex","bark":"woof"}]}"#,
        ),
        ("mutation { b: count(to: 1) a: count(to: 2) }", r#"{"b":1,"a":2}"#),
        (
            "{ slow __type(name: \"Cat\") { kind ...T } } fragment T on __Type { name fields { type { name } name } }",
            r#"{"slow":"slow","__type":{"kind":"OBJECT","name":"Cat","fields":[{"type":{"name":null},"name":"name"},{"type":{"name":null},"name":"lives"},{"type":{"name":"Dog"},"name":"friend"}]}}"#,
        ),
    ] {
        assert_eq!(ask(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn what_is_skipped_is_not_in_the_answer() {
    let query = "query($yes: Boolean!, $no: Boolean = false) { slow @skip(if: $yes) quick @include(if: $yes) \
                 ... @include(if: $no) { cat { name } } dog { name @skip(if: $no) bark @include(if: $no) } }";
    let (data, errors) = ask_with(query, json!({ "yes": true })).await;
    assert_eq!((data.as_str(), errors.len()), (r#"{"quick":"quick","dog":{"name":"Rex"}}"#, 0));
    let (data, _) = ask_with(query, json!({ "yes": false, "no": true })).await;
    assert_eq!(data, r#"{"slow":"slow","cat":{"name":"Tom"},"dog":{"bark":"woof"}}"#);
}

// An existing object without selected fields is empty, not null: null would mean that it doesn't exist.
#[tokio::test]
async fn an_object_of_which_nothing_is_selected_is_empty() {
    for (query, expected) in [
        ("{ animal(cat: true) { ... on Dog { bark } } }", r#"{"animal":{}}"#),
        ("{ animals { ... on Cat { lives } } }", r#"{"animals":[{},null,{"lives":9}]}"#),
        ("{ dog { name @skip(if: true) } nobody { name @skip(if: true) } }", r#"{"dog":{},"nobody":null}"#),
        ("{ sureDog { ...N @include(if: false) } } fragment N on Dog { name }", r#"{"sureDog":{}}"#),
        ("{ dog { ... on Animal { ... on Cat { lives } } } }", r#"{"dog":{}}"#),
        ("{ slow @skip(if: true) }", "{}"),
    ] {
        assert_eq!(ask(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_field_that_fails_is_null_or_else_what_holds_it() {
    for (query, expected, errors) in [
        ("{ slow failing quick }", r#"{"slow":"slow","failing":null,"quick":"quick"}"#, json!([["failing"]])),
        ("{ failing }", r#"{"failing":null}"#, json!([["failing"]])),
        ("{ slow failingAlways }", "null", json!([["failingAlways"]])),
        ("{ dog { name broken } quick }", r#"{"dog":null,"quick":"quick"}"#, json!([["dog", "broken"]])),
        ("{ dog { broken } quick }", r#"{"dog":null,"quick":"quick"}"#, json!([["dog", "broken"]])),
        ("{ dog { brokenIfAny } }", r#"{"dog":{"brokenIfAny":null}}"#, json!([["dog", "brokenIfAny"]])),
        (
            "{ dog { brokenIfAny name } }",
            r#"{"dog":{"brokenIfAny":null,"name":"Rex"}}"#,
            json!([["dog", "brokenIfAny"]]),
        ),
        ("{ quick sureDog { name broken } }", "null", json!([["sureDog", "broken"]])),
        (
            "{ cat { name friend { b: broken } } }",
            r#"{"cat":{"name":"Tom","friend":null}}"#,
            json!([["cat", "friend", "b"]]),
        ),
        (
            "{ animals { name ... on Dog { broken } } }",
            r#"{"animals":[null,null,{"name":"Tom"}]}"#,
            json!([["animals", 0, "broken"]]),
        ),
        // If a non-null item fails, the whole list becomes null.
        (
            "{ quick pets { ... on Dog { broken } } }",
            r#"{"quick":"quick","pets":null}"#,
            json!([["pets", 1, "broken"]]),
        ),
        // The results of steps that succeeded are in the answer.
        ("mutation { a: count(to: 1) fail b: count(to: 2) }", r#"{"a":1,"fail":null,"b":2}"#, json!([["fail"]])),
        ("mutation { fail }", "null", json!([["fail"]])),
        ("{ failing nobody { broken } }", r#"{"failing":null,"nobody":null}"#, json!([["failing"]])),
    ] {
        let (data, paths) = ask_with(query, json!({})).await;
        assert_eq!((data.as_str(), json!(paths)), (expected, errors), "{query}");
    }
}

#[tokio::test]
async fn what_is_not_executed_has_no_data() {
    for query in ["{ unknown }", "{ cat }", "{ cat { unknown } }", "{ ...Missing }"] {
        let (data, errors) = ask_with(query, json!({})).await;
        assert_eq!((data.as_str(), errors.is_empty()), ("null", false), "{query}");
    }
    let schema = Schema::new(Query, Mutation, EmptySubscription);
    let types = Types::new(&schema.sdl()).unwrap();
    for query in ["{", "query A { quick } query B { slow }"] {
        let mut request = Request::new(query).operation_name("C");
        assert!(AnswerForm::of(&types, &mut request).is_none(), "{query}");
    }
}
