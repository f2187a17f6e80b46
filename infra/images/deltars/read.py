"""read.py URL: version and rows of a Delta table, as JSON; times as text."""
import json
import sys

from arro3.core import Table
from deltalake import DeltaTable, QueryBuilder

table = DeltaTable(sys.argv[1])
rows = Table.from_arrow(QueryBuilder().register("t", table).execute("select * from t").read_all())
columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
count = rows.num_rows
print(json.dumps({"version": table.version(), "rows": [{n: c[i] for n, c in columns.items()} for i in range(count)]}, default=str))
