//! The functions of the workspace: the folders below `functions/`. Checks of all functions use this list.

use cargo_metadata::MetadataCommand;

use crate::root;

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// The name of its folder, its crate and its package.
    pub name: String,
    /// The name of its resource in the facts of a deployment.
    pub resource: String,
    /// The variables that it reads, from `config::VARIABLES`.
    pub variables: Vec<Variable>,
}

/// A variable that a function reads; see `platform::env::Variable`.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Variable {
    pub name: String,
    pub meaning: String,
    pub default: Option<String>,
}

/// Returns every function, in the order of their names.
pub fn functions() -> Vec<Function> {
    let folder = root().join("functions");
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let manifests = metadata.packages.iter().filter(|one| one.manifest_path.starts_with(&folder));
    let function = |package: &cargo_metadata::Package| {
        let config = package.manifest_path.with_file_name("src").join("config.rs");
        let source = std::fs::read_to_string(&config).unwrap_or_else(|_| panic!("expected {config}"));
        Function {
            name: package.name.to_string(),
            resource: format!("{}_function", package.name.replace('-', "_")),
            variables: variables(&source),
        }
    };
    let mut functions: Vec<Function> = manifests.map(function).collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(functions.len() >= 3, "{functions:?}");
    functions
}

/// Returns the elements of the constant `VARIABLES`, parsed from the source, which need not be compiled in.
fn variables(source: &str) -> Vec<Variable> {
    let file = syn::parse_file(source).unwrap();
    let list = file.items.iter().find_map(|item| match item {
        syn::Item::Const(constant) if constant.ident == "VARIABLES" => Some(&*constant.expr),
        _ => None,
    });
    let Some(syn::Expr::Array(list)) = list else { panic!("config.rs has no list VARIABLES") };
    let variable = |element: &syn::Expr| {
        let syn::Expr::Struct(variable) = element else { panic!("VARIABLES holds something else") };
        let field = |name: &str| {
            let is_it =
                |field: &&syn::FieldValue| matches!(&field.member, syn::Member::Named(it) if it == name);
            text(&variable.fields.iter().find(is_it).unwrap().expr)
        };
        Variable {
            name: field("name").unwrap(),
            meaning: field("meaning").unwrap(),
            default: field("default"),
        }
    };
    list.elems.iter().map(variable).collect()
}

/// Returns the value of a text literal, or of one in `Some(...)`.
fn text(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        syn::Expr::Call(call) => text(call.args.first()?),
        _ => None,
    }
}
