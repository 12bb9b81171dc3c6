"""Archives of hospitals (PACS) that speak DICOMweb: series fetched into folders, and files sent."""
