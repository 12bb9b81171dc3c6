class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str, sampleName: str, uris: str, fileNames: str, checksums: str, nodeNames: str
    ) -> None: ...
