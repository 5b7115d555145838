/*
 * identity.c
 *		Which registry this is, and how far back its history reaches.
 *
 * CREATE EXTENSION draws the id of the registry, and a dump takes it along.  So
 * after a restore there are two rows, the one that CREATE EXTENSION made there
 * and the one of the dump, which is older: the oldest counts.
 */
#include "postgres.h"

#include "catalog.h"
#include "identity.h"

static void
read_row(CatalogScan *scan, Identity *identity)
{
	bool		isnull;

	identity->id = *DatumGetUUIDP(catalog_row_value(scan, Anum_registry_id, &isnull));
	(void) catalog_row_time(scan, Anum_registry_created_at, &identity->created_at);
	(void) catalog_row_time(scan, Anum_registry_history_since,
							&identity->history_since);
	identity->purged_id = catalog_row_int64(scan, Anum_registry_purged_id);
	(void) catalog_row_time(scan, Anum_registry_purged_at, &identity->purged_at);
	identity->purged_xid = (uint64) catalog_row_int64(scan, Anum_registry_purged_xid);
	identity->purged_system = (uint64) catalog_row_int64(scan,
														 Anum_registry_purged_system);
}

/* Read the row that counts. */
void
identity_read(Snapshot snapshot, Identity *identity)
{
	CatalogScan scan;
	bool		found = false;

	catalog_begin(&scan, REGISTRY_BY_ID, snapshot);
	catalog_seek_all(&scan);
	while (catalog_next_row(&scan, ForwardScanDirection))
	{
		Identity	row;

		read_row(&scan, &row);
		if (!found || row.created_at < identity->created_at)
			*identity = row;
		found = true;
	}
	catalog_end(&scan);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table partreg.registry is empty"),
				 errhint("Restore its row from a backup.")));
}
