//! JSON Schemas (draft 2020-12) of the protocol's messages, after protobuf's canonical JSON mapping.

use super::constraints;
use buffa_descriptor::generated::descriptor::field_descriptor_proto::{Label, Type};
use buffa_descriptor::generated::descriptor::source_code_info::Location;
use buffa_descriptor::generated::descriptor::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};
use hudhud_proto::{DESCRIPTORS, Message as _};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Numbers of fields in `descriptor.proto` that paths of source locations are made of.
const FILE_MESSAGES: i32 = 4;
const FILE_ENUMS: i32 = 5;
const MESSAGE_FIELDS: i32 = 2;
const ENUM_VALUES: i32 = 2;

/// The protocol's schema, with its comments.
pub struct Schema {
    messages: BTreeMap<String, Commented<DescriptorProto>>,
    enums: BTreeMap<String, Commented<EnumDescriptorProto>>,
}

/// A definition, its comment and those of its fields or values.
struct Commented<T> {
    it: T,
    comment: String,
    inner: Vec<String>,
}

impl Schema {
    /// The schema that this binary was built with.
    pub fn load() -> Self {
        let set = FileDescriptorSet::decode_from_slice(DESCRIPTORS).expect("the build wrote it");
        let (mut messages, mut enums) = (BTreeMap::new(), BTreeMap::new());
        for file in set.file {
            let comments = comments(&file);
            let comment = |path: &[i32]| comments.get(path).cloned().unwrap_or_default();
            for (at, message) in (0..).zip(file.message_type) {
                let inner =
                    (0..).zip(&message.field).map(|(field, _)| comment(&[FILE_MESSAGES, at, MESSAGE_FIELDS, field]));
                let inner = inner.collect();
                let name = message.name.clone().unwrap_or_default();
                messages.insert(name, Commented { it: message, comment: comment(&[FILE_MESSAGES, at]), inner });
            }
            for (at, it) in (0..).zip(file.enum_type) {
                let inner =
                    (0..).zip(&it.value).map(|(value, _)| comment(&[FILE_ENUMS, at, ENUM_VALUES, value])).collect();
                let name = it.name.clone().unwrap_or_default();
                enums.insert(name, Commented { it, comment: comment(&[FILE_ENUMS, at]), inner });
            }
        }
        Self { messages, enums }
    }

    /// The schemas of these messages and of everything inside them.
    pub fn messages(&self, names: impl IntoIterator<Item = &'static str>) -> Map<String, Value> {
        let mut schemas = BTreeMap::new();
        for name in names {
            self.collect(name, &mut schemas);
        }
        schemas.into_iter().collect()
    }

    /// What the schema's author says of a message.
    pub fn description(&self, message: &str) -> &str {
        self.messages.get(message).map_or("", |message| &message.comment)
    }

    /// Whether a message without any field is none.
    pub fn needs_fields(&self, message: &str) -> bool {
        let has_choice = self.messages.get(message).is_some_and(|message| !choice(&message.it).is_empty());
        has_choice || !constraints::required(message).is_empty()
    }

    /// What the schema's author says of an enum and of its values.
    pub fn enum_description(&self, name: &str) -> String {
        let Some(it) = self.enums.get(name) else { return String::new() };
        let values = it.it.value.iter().zip(&it.inner).filter(|(_, comment)| !comment.is_empty());
        let values =
            values.map(|(value, comment)| format!("- `{}`: {comment}", value.name.as_deref().unwrap_or_default()));
        let lines: Vec<String> =
            [it.comment.clone()].into_iter().filter(|line| !line.is_empty()).chain(values).collect();
        lines.join("\n")
    }

    /// What the schema's author says of one value of an enum.
    pub fn value_description(&self, name: &str, value: &str) -> Option<&str> {
        let it = self.enums.get(name)?;
        let at = it.it.value.iter().position(|found| found.name.as_deref() == Some(value))?;
        it.inner.get(at).map(String::as_str)
    }

    /// The number of a field by its JSON name.
    pub fn field_number(&self, message: &str, json_name: &str) -> Option<i32> {
        let fields = &self.messages.get(message)?.it.field;
        fields.iter().find(|field| field.json_name.as_deref() == Some(json_name))?.number
    }

    fn collect(&self, name: &str, schemas: &mut BTreeMap<String, Value>) {
        if schemas.contains_key(name) {
            return;
        }
        if let Some(it) = self.enums.get(name) {
            let values: Vec<_> = it.it.value.iter().map(|value| value.name.clone()).collect();
            let schema = json!({ "type": "string", "enum": values, "description": self.enum_description(name) });
            schemas.insert(name.to_owned(), schema);
            return;
        }
        let message = &self.messages[name];
        // Before its fields: a message may be inside itself.
        schemas.insert(name.to_owned(), Value::Null);
        let mut properties = Map::new();
        for (field, comment) in message.it.field.iter().zip(&message.inner) {
            if let Some(inner) = type_name(field) {
                self.collect(inner, schemas);
            }
            let values = type_name(field).and_then(|name| self.enums.get(name)).map_or(0, |it| it.it.value.len());
            properties.insert(json_name(field), property(name, field, values, comment));
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        let required = constraints::required(name);
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        let mut description = message.comment.clone();
        let choice = choice(&message.it);
        if !choice.is_empty() {
            let null_is_none = constraints::is_asked(name);
            let alternatives = choice.iter().map(|one| match null_is_none {
                true => only(one, &choice),
                false => json!({ "required": [one] }),
            });
            schema["oneOf"] = alternatives.collect();
            description = format!("{description} It has exactly one of {}.", choice.join(", "));
        }
        if let Some(combinations) = constraints::combinations(name) {
            schema["anyOf"] = combinations;
        }
        if !description.is_empty() {
            schema["description"] = json!(description.trim());
        }
        schemas.insert(name.to_owned(), schema);
    }
}

/// A field of a message, whose type has so many values if it is an enum.
fn property(message: &str, field: &FieldDescriptorProto, values: usize, comment: &str) -> Value {
    let name = field.name.as_deref().unwrap_or_default();
    let mut value = match field.r#type {
        Some(Type::TYPE_BOOL) => json!({ "type": "boolean" }),
        Some(Type::TYPE_STRING) => json!({ "type": "string" }),
        Some(Type::TYPE_UINT32) => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        Some(Type::TYPE_UINT64) => {
            json!({ "type": ["string", "integer"], "format": "uint64", "pattern": "^[0-9]{1,20}$", "minimum": 0, "maximum": u64::MAX })
        }
        Some(Type::TYPE_BYTES) => constraints::bytes(name),
        Some(Type::TYPE_MESSAGE | Type::TYPE_ENUM) => {
            json!({ "$ref": super::schema_ref(type_name(field).unwrap_or_default()) })
        }
        other => unreachable!("{message}.{name} has a type that the protocol does not use: {other:?}"),
    };
    let is_list = field.label == Some(Label::LABEL_REPEATED);
    if is_list {
        value = json!({ "type": "array", "items": value });
    }
    if let (Value::Object(value), Value::Object(more)) = (&mut value, constraints::of(message, name)) {
        value.extend(more);
    }
    if constraints::is_asked(message) && field.r#type == Some(Type::TYPE_ENUM) {
        // By its number too, as protobuf's JSON has it.
        value = json!({ "anyOf": [value, { "type": "integer", "minimum": 0, "maximum": values - 1 }] });
    }
    if constraints::is_asked(message) && !constraints::required(message).contains(&json_name(field).as_str()) {
        value = or_null(value);
    }
    if !comment.is_empty() {
        value["description"] = json!(comment);
    }
    value
}

/// What a schema describes, or null.
fn or_null(mut schema: Value) -> Value {
    match schema["type"].take() {
        Value::Array(mut types) => {
            types.push(json!("null"));
            schema["type"] = json!(types);
            schema
        }
        Value::String(one) => {
            schema["type"] = json!([one, "null"]);
            schema
        }
        _ => {
            let schema = schema.as_object_mut().expect("a schema is an object");
            schema.remove("type");
            json!({ "anyOf": [schema, { "type": "null" }] })
        }
    }
}

/// Of these fields this one is there; the others may be null, which is as if they were not.
fn only(one: &str, fields: &[String]) -> Value {
    let others = fields.iter().filter(|field| *field != one).map(|field| (field.clone(), json!({ "type": "null" })));
    let properties: Map<_, _> = others.chain([(one.to_owned(), constraints::not_null())]).collect();
    json!({ "required": [one], "properties": properties })
}

/// The message or enum that a field is of, without its package.
fn type_name(field: &FieldDescriptorProto) -> Option<&str> {
    field.type_name.as_deref().and_then(|name| name.rsplit('.').next())
}

fn json_name(field: &FieldDescriptorProto) -> String {
    field.json_name.clone().unwrap_or_default()
}

/// The JSON names of the fields of which a message has exactly one: those of its oneof (no message has two), or what is
/// said in words.
fn choice(message: &DescriptorProto) -> Vec<String> {
    let fields = message.field.iter().filter(|field| field.oneof_index.is_some());
    let in_words = constraints::alternatives(message.name.as_deref().unwrap_or_default());
    fields.map(json_name).chain(in_words.iter().map(ToString::to_string)).collect()
}

/// The comments before definitions, by the definitions' paths.
fn comments(file: &FileDescriptorProto) -> BTreeMap<Vec<i32>, String> {
    let locations: &[Location] = file.source_code_info.as_option().map_or(&[], |info| &info.location);
    let commented = locations.iter().filter_map(|at| Some((at.path.clone(), at.leading_comments.as_deref()?)));
    commented.map(|(path, text)| (path, text.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}
