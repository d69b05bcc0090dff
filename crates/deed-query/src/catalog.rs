//! The tables of a query by name.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
        SchemaProvider, TableProvider, information_schema::InformationSchemaProvider,
    },
    common::{DataFusionError, Result},
    datasource::ViewTable,
    execution::SessionState,
};
use deed_ledger::Ledger;
use futures::future::BoxFuture;

use crate::{
    actions::Actions,
    aliases::Aliases,
    findings::{self, Findings},
    records::{Records, View},
    views::VIEWS,
};

/// The catalog's name.
pub(crate) const CATALOG: &str = "deed";
/// The schema's name.
pub(crate) const SCHEMA: &str = "public";

/// A session in which `tenant` sees what is in `view`.
pub(crate) fn session(
    template: &SessionState,
    view: Arc<View>,
    ledger: Ledger,
    tenant: Option<String>,
    findings: Option<Arc<dyn Findings>>,
) -> SessionState {
    let records = Arc::new(Records { view, tenant });
    of_records(template, records, ledger, findings)
}

fn of_records(
    template: &SessionState,
    records: Arc<Records>,
    ledger: Ledger,
    findings: Option<Arc<dyn Findings>>,
) -> SessionState {
    let catalogs: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalogs.register_catalog(CATALOG.to_owned(), catalog.clone());
    let tables: Arc<dyn SchemaProvider> =
        Arc::new(Tables { records, ledger, findings, template: template.clone() });
    let described: Arc<dyn SchemaProvider> = Arc::new(Described(Arc::downgrade(&catalogs)));
    for (name, schema) in [(SCHEMA, tables), ("information_schema", described)] {
        if let Err(error) = catalog.register_schema(name, schema) {
            unreachable!("a catalog in memory takes any schema: {error}");
        }
    }
    let mut state = template.clone();
    state.register_catalog_list(catalogs);
    state
}

/// Tables are made when a query names them. Nothing here holds the session that holds this.
struct Tables {
    records: Arc<Records>,
    ledger: Ledger,
    findings: Option<Arc<dyn Findings>>,
    template: SessionState,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records.fmt(f)
    }
}

impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        ["records", "actions", "aliases", "findings"]
            .into_iter()
            .chain(VIEWS.iter().map(|view| view.name))
            .map(str::to_owned)
            .collect()
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|table| table == name)
    }

    /// Written out for the reason that `scan` gives.
    fn table<'tables, 'name, 'found>(
        &'tables self,
        name: &'name str,
    ) -> BoxFuture<'found, Result<Option<Arc<dyn TableProvider>>>>
    where
        'tables: 'found,
        'name: 'found,
        Self: 'found,
    {
        fn boxed<'found>(
            tables: &'found Tables,
            name: &'found str,
        ) -> BoxFuture<'found, Result<Option<Arc<dyn TableProvider>>>> {
            Box::pin(tables.find(name))
        }
        boxed(self, name)
    }
}

impl Tables {
    async fn find(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(match name {
            "records" => Some(self.records.clone()),
            "actions" => Some(Arc::new(Actions::new(self.records.clone(), self.ledger.clone()))),
            "aliases" => Some(Arc::new(Aliases::new(self.ledger.clone()))),
            "findings" => Some(findings::table(self.findings.clone(), self.records.tenant.clone()).await?),
            _ => match VIEWS.iter().find(|view| view.name == name) {
                Some(view) => {
                    let state = of_records(&self.template, self.records.clone(), self.ledger.clone(), None);
                    let plan = state.create_logical_plan(view.sql).await?;
                    Some(Arc::new(ViewTable::new(plan, None)))
                }
                None => None,
            },
        })
    }
}

/// What tables and columns there are; nothing about the machine.
#[derive(Debug)]
struct Described(Weak<dyn CatalogProviderList>);

const DESCRIBED: &[&str] = &["tables", "columns"];

#[async_trait]
impl SchemaProvider for Described {
    fn table_names(&self) -> Vec<String> {
        DESCRIBED.iter().map(|name| (*name).to_owned()).collect()
    }

    fn table_exist(&self, name: &str) -> bool {
        DESCRIBED.contains(&name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.0.upgrade() {
            Some(catalogs) if self.table_exist(name) => {
                InformationSchemaProvider::new(catalogs).table(name).await
            }
            _ => Ok(None),
        }
    }
}
