from slicer import vtkMRMLScalarVolumeNode

class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str,
        sampleName: str,
        uris: list[str],
        fileNames: list[str],
        checksums: list[str],
        nodeNames: list[str],
    ) -> None: ...
    def downloadSample(self, sampleName: str) -> vtkMRMLScalarVolumeNode: ...
