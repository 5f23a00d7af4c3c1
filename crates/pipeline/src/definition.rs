//! The pipeline file: YAML text into a checked definition. Which keys there are, what is required and what an error
//! says is Flink CDC's (`YamlPipelineDefinitionParser`).

use indexmap::IndexMap;
use serde_json::Value as Node;
use starweir_model::{Error, Result, SchemaChangeKind};

use crate::evolution::{SchemaChangeBehavior, resolve_tags};
use crate::route::RouteRule;
use crate::transform::{TransformRule, UserFunction};

/// Options in the order of the file, all as text.
pub type Config = IndexMap<String, String>;

/// The `source` or `sink` block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectorDef {
    /// `type`.
    pub kind: String,
    pub name: Option<String>,
    /// All other keys.
    pub config: Config,
}

/// A `model` entry; models call services on the internet and are refused when used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelDef {
    pub name: String,
    pub kind: String,
    pub options: Config,
}

/// A pipeline as its file states it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineDef {
    pub source: ConnectorDef,
    pub sink: ConnectorDef,
    /// Kinds of schema change that `include.schema.changes` and `exclude.schema.changes` let through.
    pub included_changes: Vec<SchemaChangeKind>,
    pub routes: Vec<RouteRule>,
    pub transforms: Vec<TransformRule>,
    pub functions: Vec<UserFunction>,
    pub models: Vec<ModelDef>,
    /// The `pipeline` block over the global configuration.
    pub config: Config,
}

const TOP_LEVEL: &[&str] = &["source", "sink", "route", "transform", "pipeline"];
const ROUTE: &[&str] = &["source-table", "sink-table", "replace-symbol", "description"];
const TRANSFORM: &[&str] = &[
    "source-table",
    "projection",
    "filter",
    "primary-keys",
    "partition-keys",
    "table-options",
    "table-options.delimiter",
    "description",
    "converter-after-transform",
];
const FUNCTION: &[&str] = &["name", "classpath", "python-code", "python-executable", "python-files", "options"];
const INCLUDE: &str = "include.schema.changes";
const EXCLUDE: &str = "exclude.schema.changes";
/// The class upstream runs Python functions with.
pub const PYTHON_CLASS: &str = "org.apache.flink.cdc.python.PythonUdf";

impl PipelineDef {
    /// Reads a pipeline file. `global` holds the values of the global configuration (`flink-cdc.yaml`), which the
    /// file's `pipeline` block overrides.
    ///
    /// # Errors
    /// Text that is not YAML; a key that is not allowed where it stands; a required key that is missing.
    pub fn parse(text: &str, global: &Config) -> Result<Self> {
        let root: Node = serde_saphyr::from_str(text)
            .map_err(|e| Error::user("the pipeline file is not valid YAML").with_source(e))?;
        let Node::Object(mut root) = root else {
            return Err(Error::user("the pipeline file must be a YAML mapping with the keys source and sink"));
        };
        if let Some(key) = root.keys().find(|key| !TOP_LEVEL.contains(&key.as_str())) {
            return Err(Error::user(format!(
                "Unexpected key `{key}` in YAML top-level block.\nAllowed keys in this context are: [{}]\nNote: Flink \
                 configurations should be defined in \"Runtime Configurations\" instead of YAML scripts.",
                TOP_LEVEL.join(", ")
            )));
        }
        let mut pipeline = match root.remove("pipeline") {
            None | Some(Node::Null) => serde_json::Map::new(),
            Some(Node::Object(map)) => map,
            Some(other) => return Err(not_a_mapping("pipeline", &other)),
        };
        let functions = children(pipeline.remove("user-defined-function"), "UDF")?
            .iter()
            .map(function)
            .collect::<Result<Vec<_>>>()?;
        let models = models(pipeline.remove("model"))?;
        let own = config(pipeline, "pipeline")?;
        let behavior = behavior(own.get("schema.change.behavior").or_else(|| global.get("schema.change.behavior")))?;

        let mut required = |key: &str| match root.remove(key) {
            None | Some(Node::Null) => {
                Err(Error::user(format!("Missing required field \"{key}\" in top-level configuration")))
            }
            Some(Node::Object(map)) => Ok(map),
            Some(other) => Err(not_a_mapping(key, &other)),
        };
        let source = connector(required("source")?, "source")?;
        let mut sink = required("sink")?;
        let include = sink.remove(INCLUDE).map(|node| tags(&node, INCLUDE)).transpose()?.unwrap_or_default();
        let exclude = match sink.remove(EXCLUDE) {
            Some(node) => tags(&node, EXCLUDE)?,
            // Lenient leaves tables and their rows alone unless the file says what to leave out itself.
            None if behavior == SchemaChangeBehavior::Lenient => {
                vec!["drop.table".to_owned(), "truncate.table".to_owned()]
            }
            None => Vec::new(),
        };
        let include = if include.is_empty() || include.iter().any(|tag| tag == "create.table") {
            include
        } else {
            include.into_iter().chain(["create.table".to_owned()]).collect()
        };
        let sink = connector(sink, "sink")?;
        let transforms =
            children(root.remove("transform"), "transform")?.iter().map(transform).collect::<Result<Vec<_>>>()?;
        let routes = children(root.remove("route"), "route")?.iter().map(route).collect::<Result<Vec<_>>>()?;
        let mut merged = global.clone();
        merged.extend(own);
        Ok(Self {
            source,
            sink,
            included_changes: resolve_tags(&include, &exclude),
            routes,
            transforms,
            functions,
            models,
            config: merged,
        })
    }

    /// `schema.change.behavior`; its text was checked by [`PipelineDef::parse`].
    pub fn behavior(&self) -> Result<SchemaChangeBehavior> {
        behavior(self.config.get("schema.change.behavior"))
    }
}

fn behavior(text: Option<&String>) -> Result<SchemaChangeBehavior> {
    let Some(text) = text else { return Ok(SchemaChangeBehavior::default()) };
    SchemaChangeBehavior::from_name(text).ok_or_else(|| {
        Error::user(format!(
            "Could not parse value '{text}' for key 'schema.change.behavior'. Expected one of: [{}]",
            SchemaChangeBehavior::NAMES.join(", ")
        ))
    })
}

fn not_a_mapping(what: &str, node: &Node) -> Error {
    Error::user(format!("YAML {what} block is expecting a mapping, but got {}", kind(node)))
}

/// Jackson's name of a node's type.
fn kind(node: &Node) -> &'static str {
    match node {
        Node::Null => "NULL",
        Node::Bool(_) => "BOOLEAN",
        Node::Number(_) => "NUMBER",
        Node::String(_) => "STRING",
        Node::Array(_) => "ARRAY",
        Node::Object(_) => "OBJECT",
    }
}

/// The entries of a block that must be a list.
fn children(node: Option<Node>, block: &str) -> Result<Vec<Node>> {
    match node {
        None | Some(Node::Null) => Ok(Vec::new()),
        Some(Node::Array(items)) => Ok(items),
        Some(other) => Err(Error::user(format!(
            "YAML {block} block is expecting an array children, but got an {} ({other}).\nPerhaps you missed a dash \
             prefix `-`?",
            kind(&other)
        ))),
    }
}

/// A list's entry, with only these keys.
fn entry<'a>(node: &'a Node, block: &str, allowed: &[&str]) -> Result<&'a serde_json::Map<String, Node>> {
    let Node::Object(map) = node else {
        return Err(Error::user(format!("YAML {block} block is expecting an object, but got {} ({node})", kind(node))));
    };
    if let Some((key, value)) = map.iter().find(|(key, _)| !allowed.contains(&key.as_str())) {
        return Err(Error::user(format!(
            "Unexpected key `{key}` in YAML {block} block.\nAllowed keys in this context are: [{}]\nNote: option \
             {key}: {value} is unexpected. It was silently ignored in previous versions, and probably should be \
             removed.",
            allowed.join(", ")
        )));
    }
    Ok(map)
}

/// A scalar as text, Jackson's `asText`; None for null and missing.
fn text(node: Option<&Node>) -> Option<String> {
    match node? {
        Node::Null => None,
        Node::String(text) => Some(text.clone()),
        Node::Bool(value) => Some(value.to_string()),
        Node::Number(number) => Some(number.to_string()),
        Node::Array(_) | Node::Object(_) => Some(String::new()),
    }
}

fn needed(map: &serde_json::Map<String, Node>, key: &str, block: &str) -> Result<String> {
    text(map.get(key)).ok_or_else(|| Error::user(format!("Missing required field \"{key}\" in {block} configuration")))
}

fn config(map: serde_json::Map<String, Node>, block: &str) -> Result<Config> {
    map.into_iter()
        .map(|(key, node)| match &node {
            Node::Array(_) | Node::Object(_) => {
                Err(Error::user(format!("option '{key}' of the {block} block must be a single value, but is {node}")))
            }
            node => Ok((key, text(Some(node)).unwrap_or_default())),
        })
        .collect()
}

fn connector(map: serde_json::Map<String, Node>, block: &str) -> Result<ConnectorDef> {
    let mut config = config(map, block)?;
    let kind = config
        .shift_remove("type")
        .ok_or_else(|| Error::user(format!("Missing required field \"type\" in {block} configuration")))?;
    let name = config.shift_remove("name");
    Ok(ConnectorDef { kind, name, config })
}

fn tags(node: &Node, key: &str) -> Result<Vec<String>> {
    match node {
        Node::Null => Ok(Vec::new()),
        Node::Array(items) => Ok(items.iter().filter_map(|item| text(Some(item))).collect()),
        other => Err(Error::user(format!("option '{key}' must be a list, but is {other}"))),
    }
}

fn route(node: &Node) -> Result<RouteRule> {
    let map = entry(node, "route", ROUTE)?;
    Ok(RouteRule {
        source_table: needed(map, "source-table", "route")?,
        sink_table: needed(map, "sink-table", "route")?,
        replace_symbol: text(map.get("replace-symbol")),
        description: text(map.get("description")),
    })
}

fn transform(node: &Node) -> Result<TransformRule> {
    let map = entry(node, "transform", TRANSFORM)?;
    Ok(TransformRule {
        source_table: needed(map, "source-table", "transform")?,
        // A leading star must be escaped in YAML.
        projection: text(map.get("projection")).map(|text| text.replace("\\*", "*")),
        filter: text(map.get("filter")),
        primary_keys: text(map.get("primary-keys")),
        partition_keys: text(map.get("partition-keys")),
        table_options: text(map.get("table-options")),
        table_options_delimiter: Some(text(map.get("table-options.delimiter")).unwrap_or_else(|| ",".into())),
        converter_after_transform: text(map.get("converter-after-transform")),
        description: text(map.get("description")),
    })
}

fn function(node: &Node) -> Result<UserFunction> {
    let map = entry(node, "UDF", FUNCTION)?;
    let name = needed(map, "name", "UDF")?;
    let (classpath, python) = (text(map.get("classpath")), text(map.get("python-code")));
    let refuse = |text: &str| Err(Error::user(text));
    let Some(source) = python else {
        if map.contains_key("python-executable") || map.contains_key("python-files") {
            return refuse(
                "UDF configuration using \"python-executable\" or \"python-files\" requires \"python-code\"",
            );
        }
        let Some(classpath) = classpath else {
            return refuse("Missing required field \"classpath\" or \"python-code\" in UDF configuration");
        };
        let options = match map.get("options") {
            None | Some(Node::Null) => Vec::new(),
            Some(Node::Object(map)) => {
                map.iter().map(|(k, v)| (k.clone(), text(Some(v)).unwrap_or_default())).collect()
            }
            Some(_) => return refuse("UDF options should be a mapping."),
        };
        return Ok(UserFunction { name, classpath, options });
    };
    if classpath.is_some() {
        return refuse("UDF configuration cannot define both \"classpath\" and \"python-code\"");
    }
    if map.contains_key("options") {
        return refuse(
            "UDF configuration using \"python-code\" cannot define \"options\"; use top-level \"python-executable\" and \
             \"python-files\" instead",
        );
    }
    let mut options = vec![("source".to_owned(), source)];
    options.extend(text(map.get("python-executable")).map(|text| ("python-executable".to_owned(), text)));
    match map.get("python-files") {
        None | Some(Node::Null) => {}
        Some(Node::Array(files)) => {
            let files: Vec<_> = files.iter().filter_map(|file| text(Some(file))).collect();
            options.push(("python-files".to_owned(), files.join(",")));
        }
        Some(_) => return refuse("YAML UDF field `python-files` should be a list when used with `python-code`."),
    }
    Ok(UserFunction { name, classpath: PYTHON_CLASS.into(), options })
}

fn models(node: Option<Node>) -> Result<Vec<ModelDef>> {
    let nodes = match node {
        None | Some(Node::Null) => return Ok(Vec::new()),
        Some(Node::Array(nodes)) => nodes,
        Some(one) => vec![one],
    };
    let mut models: Vec<ModelDef> = Vec::new();
    for node in &nodes {
        let Node::Object(map) = node else { return Err(not_a_mapping("model", node)) };
        // The older spelling has `model-name` and `class-name`; beside `type`, `model-name` is an option.
        let legacy = !map.contains_key("type") && !map.contains_key("name");
        let (name_key, kind_key) = if legacy { ("model-name", "class-name") } else { ("name", "type") };
        let needed = |key: &str| {
            text(map.get(key))
                .filter(|text| !text.is_empty())
                .ok_or_else(|| Error::user(format!("Missing required field \"{key}\" in `model`")))
        };
        let (name, kind) = (needed(name_key)?, needed(kind_key)?);
        if models.iter().any(|model| model.name == name) {
            return Err(Error::user(format!("Duplicate model name '{name}' in pipeline definition.")));
        }
        let mut options = Config::new();
        for (key, value) in map.iter().filter(|(key, _)| *key != name_key && *key != kind_key) {
            match value {
                Node::Object(nested) if key == "options" => {
                    options.extend(nested.iter().map(|(k, v)| (k.clone(), text(Some(v)).unwrap_or_default())));
                }
                value => {
                    options.insert(key.clone(), text(Some(value)).unwrap_or_default());
                }
            }
        }
        models.push(ModelDef { name, kind, options });
    }
    Ok(models)
}
