<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="en_US" sourcelanguage="en_US">
    <context>
        <name>Effect.Places</name>
        <message>
            <source>Segment '{name}' is empty: outline the object on one slice first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>There is no slice view in this layout.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Effect.SegmentEditorPropagateEffect</name>
        <message>
            <source>&lt;html&gt;Carry a segment that is outlined on one or a few slices through the image.&lt;br&gt;&lt;p&gt;Outline the object on one slice with any effect, scroll to where it begins and ends and say so, and press &lt;b&gt;Propagate&lt;/b&gt;. Look through the proposal: &lt;b&gt;Apply&lt;/b&gt; writes it, &lt;b&gt;Cancel&lt;/b&gt; drops it. What you draw while it waits is kept, and is another key when you propagate again.&lt;/p&gt;&lt;p&gt;Model and device are chosen in the module Segment Propagate.&lt;/p&gt;&lt;/html&gt;</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>All slices that are drawn</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Apply</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Cancel</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a segment first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a segmentation and its source volume first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Key slices:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Leave open</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Let the model find where the object begins and ends.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open: the model finds where the object begins and ends.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Propagate</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Range:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The proposal is for '{segmentation}' on '{volume}': choose these again, or cancel it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The proposal is ready: look through it, then apply or cancel it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The range is given in {given} slices and the key is {plane}: give the range in {plane} slices.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The slice in the {view} view</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>This is the first slice</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>This is the last slice</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>open</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{count} voxels were changed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{plane} slices, first {first}, last {last}</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.ComputeOn</name>
        <message>
            <source>Asking {address}...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Enter the server's address and the token that its keeper gave you.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Installing {name}...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Press Test first: it installs {name}, which is missing.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Server</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The next run computes on this computer.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The next run computes on {host}, which is sent the image.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The server answers (version {version}) and knows you as {user}. Models: {models}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The server answers (version {version}).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The server answers something unreadable: is the address right?</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The test could not be started ({program}).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The test ended without an answer: try again.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>This computer</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.Context</name>
        <message>
            <source>Choose a segment first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a segmentation first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose an image first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Load an image first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice {number} is locked as empty: no run puts the object there.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice {number} is locked: no run changes it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice {number} is no longer locked.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The {view} view shows '{shown}', not '{name}': choose '{shown}' as image, or show '{name}' in the view.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>There is no view '{view}' in this layout.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Undone: nothing of that is there any more. Redo in the Segment Editor brings it back.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>axial</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>coronal</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>oblique</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>sagittal</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.Devices</name>
        <message>
            <source>Apple graphics (MPS)</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Automatic</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>CPU</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.FiguresLine</name>
        <message>
            <source>{name}: empty</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: {volume} mL, slice {first}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: {volume} mL, {count} slices, {first} to {last}</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.InputSection</name>
        <message>
            <source>A proposal waits for review: accept or discard it before you choose another image or segmentation.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>As stored (8 bit)</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Automatic</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>CT {part} ({low} to {high} HU)</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Lowest to highest value</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Percentiles 0.5 to 99.5 (MR, PET, ultrasound)</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The view shows the image '{name}': it is the one that is worked on now.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.InstallBanner</name>
        <message>
            <source>Installed. The model is '{name}' now.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.Installer</name>
        <message>
            <source>Installing PyTorch. This can take several minutes...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Installing SAM 2...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Installing the packages that SAM 2 needs...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>PyTorch could not be installed: {error} Check the network and the disk space, then try again.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>PyTorch was not installed; open the module PyTorch Utils to see why.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The extension PyTorch is not installed: install it in the Extensions Manager and restart Slicer.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The networks need PyTorch and SAM 2, which are not installed: a download of about 0.2 GB for the CPU, up to 3 GB for an NVIDIA graphics card. The classical propagator works without them.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The networks need SAM 2, which is not installed: a download of about 1 MB. The classical propagator works without it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{names} could not be installed; restart Slicer and press Install again.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name} could not be installed: {error} Check the network, then try again.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.KeyActions</name>
        <message>
            <source>A run is going on: wait for its end, or cancel it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open a worklist under Cases first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The run is being stopped: wait a moment.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.KeyTable</name>
        <message>
            <source>Area</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Forget this key; the outline stays in the segment.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Lock this slice: no later run or correction changes it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Locked: no run and no correction changes this slice. Press to unlock.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Plane</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Segment</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>empty</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{area} mm²</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.LearnSection</name>
        <message>
            <source>, {time} left at most</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Cancel learning</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learn from these cases</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learning: reading the cases, and measuring the present model...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learning: step {step} of {steps}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Model: {file}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open a worklist under Cases first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Overlap with the truth (Dice) on the cases that were set aside; the gray line is the present model's.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The classical propagator learns nothing: choose a network under Model.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>start {start:.3f}, best {best:.3f}</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.Licence</name>
        <message>
            <source>Licence of {model}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The weights of {model} are for {licence}, not for {forbidden}.&lt;p&gt;Their licence: {link}&lt;/p&gt;&lt;p&gt;Download them for such use?&lt;/p&gt;</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.ModelSection</name>
        <message>
            <source> ({size} MB)</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Around the object</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Automatic</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Checkpoints</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Coupled, as published</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Downloaded on first use{size}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Exact (32 bit)</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Fast (16 bit)</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Independent</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Licence: {licence}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>No recent files</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Not part of this installation.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open checkpoint file</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Reading {file}...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>This file is no longer there: choose another model.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>To be confirmed by choosing it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Whole slice</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.ObjectControls</name>
        <message>
            <source>'{name}' is still empty: outline it first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>A proposal waits for review: accept or discard it before you go on to another case.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>A run is going on: wait for its end, or cancel it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Load an image first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Next: {name}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open template</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Templates of segments</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>none: Segment 1, 2, ...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{count} segments, from {first} to {last}: Next object takes one after the other.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.Progress</name>
        <message>
            <source>%v of %m slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>, {time} left</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Writing: %p %</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.ProjectSection</name>
        <message>
            <source>Round {round}: {done} of {count} cases accepted, model {model}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{count} are new to the model: let it learn from them.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.PromptSection</name>
        <message>
            <source>, slice {number} (0 to {last})</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>All segments of the template, from cases that are finished; nothing is written before you use it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Comparing every slice with its neighbors...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>No slice of {name} agrees well enough with its neighbors: outline one of its {count} slices by hand.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Nothing is placed yet: click in the view, or choose Paint to use what is drawn.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Object</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>On the object</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Outline on slice {number}: {area} mm². Use it as key, then correct it with Paint if needed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Outlining slice {number}...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Place box</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Place line</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Preview the outline</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice {number} is a key of the next run.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The outline is in the segment and a key: correct it with Paint if needed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The outline lies in the {view} view: {plane} slice {number} is the key.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use current slice as key</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use this outline as key</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use what is ticked as keys</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use {count} ticked as keys</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: all {count} slices are keys now, none is in doubt.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: click both ends of its longest diameter in the view, then:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: click on it in the view; a click beside it takes that part away. Then:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: click two corners around it in the view, then:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: outline it on one slice with the editor below, then:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: {good} of {count} slices are keys now; Propagate redoes the others.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{view}: {orientation}</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.RangeControls</name>
        <message>
            <source>Choose a segment first.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.ReviewSection</name>
        <message>
            <source>Accepted: the segments hold what is proposed already, so nothing was changed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Accepted: {count} voxels changed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Click a bar to go to its slice.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Correct the outline in the view, then press Correct.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Discarded. Slices {numbers} stay as they were edited: the segmentation is stored in another way now.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Discarded: the segment is as it was before the run.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>No slice is in doubt: on each the overlap is expected to be good.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice {number} is worth a look.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice {number} of {name} is worth a look.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The chosen view shows {plane} slices, the proposal is {wanted}: choose a view of that plane.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The segments of this proposal were removed: undo that, or discard it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>There is no proposal to review: propagate first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Undo in the Segment Editor takes it back.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>expected overlap {percent} %</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>key slice, locked, {area} mm².</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>key slice, {area} mm².</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>locked</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>locked as empty.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>presence {percent} %</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>the object ends abruptly here, worth a look.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>the object is not there.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>worth a look</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{area} mm²</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}, slice {number}: </source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.RunSection</name>
        <message>
            <source>%v of %m MB</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>%v of %m steps</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>1 segment</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Cancel</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Cancelling...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a segment.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a segmentation, or create one.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose an image.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Outline the object on one {plane} slice and use it as key.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Propagate</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The download was stopped; what has arrived is kept for the next time.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The first slice ({first}) lies after the last slice ({last}).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The proposal is ready: look at slice {number} of {name} first, then accept or discard it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The proposal is ready: look through it, then accept or discard it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>about {time}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>time not measured yet on this machine</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{count} segments</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{count} slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{size} of memory</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.StatusLine</name>
        <message>
            <source>Something unexpected went wrong ({error}); see Details.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.Strokes</name>
        <message>
            <source>Corrected: what this changes is computed again. Cancel stops that.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.SuggestSection</name>
        <message>
            <source>Another folder...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a folder of finished cases first, or open a worklist under Cases.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a segmentation first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Double-click beside it, or tick it, to see its key slice.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Drawn there already, so left as they are: {names}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Finished cases of the worklist ({count})</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Finished cases...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Folder of finished cases</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Keys and ranges now: {names}. Correct them with Paint if needed, then propagate.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>No other case of the worklist is done yet: choose a folder of finished cases.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{found} of {count} are suggested, {sure} of them with confidence: look at the outlines, tick what is right, then use it.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Panel.WorklistSection</name>
        <message>
            <source>All</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>All {count} cases are done.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Case</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Case '{name}' is open ({number} of {count}).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a folder for the results first: images of the scene may have none.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Folder for the results</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Folder of images</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Folder of images...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Images of the scene</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>List (CSV, JSON)...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>List of images</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Lists</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Nothing is drawn in '{name}': it stays in work. Press Done if there is nothing to be found.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open a worklist under Cases first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Results beside the images</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Results in another folder...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Results in {folder}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Saved: {file}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>State</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>There is no case before this one.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>as in {case}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>done</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>in work</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>proposed</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>to do</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{person} works on it, too: nothing of theirs is overwritten.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Review.Drafts</name>
        <message>
            <source>The segment is empty within the image: choose one that another tool has filled.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Review.Keys</name>
        <message>
            <source>Choose a segment that has a key slice first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a segmentation first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Segment '{name}' has no {plane} key slice from {first} to {last}: add one, or widen the range.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Segment '{name}' is empty on {plane} slice {index}: outline the object there first.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Review.PromptPreview</name>
        <message>
            <source>A box or at least one point is needed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>There is no previewed outline to use.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Review.ReviewWriter</name>
        <message>
            <source>Nothing is left on slice {index}: lock it to keep it empty, or outline the object there.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slice {index} is locked: unlock it to change it.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Review.Reviewer</name>
        <message>
            <source>The proposal for '{name}' waits for review: accept or discard it first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>There is no proposal on slice {index}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>There is no proposal to review: propagate first.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Review.Suggestions</name>
        <message>
            <source>Laying the finished cases over the image...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Looking through the finished cases...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Nothing was used: on every ticked slice something is drawn already, or the slice is locked.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Tick what is to be used first.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.Estimates</name>
        <message>
            <source>This may not fit: about {needed} GB of memory are needed and {free} GB are free.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.ModelSummary</name>
        <message>
            <source>intensities '{preset}'</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>short memory of {count} slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{family} ({variant})</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name} cannot be used: {problems}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{size} x {size} pixels</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.ProjectCommand</name>
        <message>
            <source>The records of the project are not written: Slicer's Python could not be started.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.Run</name>
        <message>
            <source>The first slice ({first}) lies after the last slice ({last}).</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.RunController</name>
        <message>
            <source>Cancelled: everything is as it was before.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Intensities: auto chose '{preset}'.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Propagating...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Starting the computing process...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Stopping...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Waiting for the computing process...</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.Runner</name>
        <message>
            <source>Connected to the server again...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Downloading the model '{name}'...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Handing over the image...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learning from your slices...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Loading the model '{name}'...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Preparing the slices...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The connection to the server was lost; connecting again...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Waiting for the server, {count} before you...</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.Training</name>
        <message>
            <source>A training is going on: wait for its end, or cancel it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Better than the present model: Dice overlap {dsc:.3f} instead of {start:.3f} on cases set aside.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learning failed: {reason}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learning was cancelled: the present model stays as it is.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>No better than the present model (Dice overlap {dsc:.3f} on cases set aside): kept.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Slicer's Python could not be started.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The folder '{folder}' cannot be written to.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>it ended without a word.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{count} cases are done, {least} are needed: two of them tell whether what is learned helps.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Runs.WorkerProcess</name>
        <message>
            <source>The computing process could not be started ({program}).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The computing process did not answer after its start and was ended; see Details.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The computing process did not stop when asked to and was ended; the next run starts a new one.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The computing process ended unexpectedly (code {code}): try again, or see Details.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The computing process is busy: cancel what it does, or wait, before you choose where to compute.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The computing process sent nothing for {time} and was ended; the next run starts a new one.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The computing process sent something unreadable ({error}); see Details.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.Inputs</name>
        <message>
            <source>Choose a segmentation first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The image or the segmentation was changed during the run; nothing was written.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The image was removed from the scene during the run; nothing was written.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The scene was closed during the run; nothing was written.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The segmentation was removed from the scene during the run; nothing was written.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.Labelmaps</name>
        <message>
            <source>The segmentation '{name}' is stored as surfaces: make 'Binary labelmap' its source representation.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The segmentation has no segment '{id}' any more.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.Placement</name>
        <message>
            <source>Longest diameter</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Not the object</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Object</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Prompt box</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.Preview</name>
        <message>
            <source>Proposal</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.PromptReader</name>
        <message>
            <source>Both ends of the line must lie on slice {index}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>None of the points lies on slice {index}: place them there.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.SegmentationCopy</name>
        <message>
            <source>'{file}' could not be saved: is the disk full?</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.SliceGrid</name>
        <message>
            <source>Slice {index} is outside the volume: its {plane} slices run from 0 to {last}.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The box '{name}' has not been placed yet.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The box lies beside the volume: move it onto the object.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The region of interest covers no {plane} slice.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The {view} view is not parallel to the volume's {plane} slices ({angle:.0f} degrees off): choose the view of that plane, or press 'Rotate to volume plane'.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The {view} view shows no slice of the volume: scroll to one of its {plane} slices, 0 to {last}.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.VolumeReader</name>
        <message>
            <source>Choose a source volume first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The volume '{name}' cannot be segmented: its axes are not at right angles, resample it to a regular grid, as Resample Scalar/Vector/DWI Volume of 3D Slicer does.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The volume '{name}' has {count} components per voxel: convert it to a scalar volume first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The volume '{name}' holds no voxels.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The {what} is under a transform that is not linear: harden the transform, or remove it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>segmentation</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>volume</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Scene.Whereabouts</name>
        <message>
            <source>The voxels of the image '{name}' are others than when the proposal was computed: bring them back, or discard the proposal and compute it again.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The {what} '{name}' has been moved, or has another geometry, since the proposal was computed: move it back, or discard the proposal and compute it again.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>image</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>segmentation</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>SegmentPropagate</name>
        <message>
            <source> empty slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source> min</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source> px</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source> slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>%v of %m slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>&lt;p&gt;Outline an object on one slice, give the first and the last slice, press &lt;b&gt;Propagate&lt;/b&gt;, review, and accept. A slice that went wrong is edited and becomes another key; only the stretch that it changes is computed again.&lt;/p&gt;&lt;p&gt;What is painted or erased on a proposal, in any view, is a correction, and so is a click with &lt;b&gt;Points&lt;/b&gt;: what it changes is computed again when the stroke ends.&lt;/p&gt;&lt;p&gt;The effect &lt;b&gt;Propagate&lt;/b&gt; of the Segment Editor does the same, in every module that has one.&lt;/p&gt;&lt;p&gt;Keys while the module is open and the mouse is over a slice view or the panel: K key from current slice, S first slice, L last slice, P propagate or cancel, U lock or unlock, N next suspicious slice, E edit slice, C correct, A accept, D discard, O next object (what waits is accepted), X next case, H previous case.&lt;/p&gt;&lt;p&gt;Under &lt;b&gt;Cases&lt;/b&gt; a folder or a list of images is worked through: &lt;b&gt;Next case&lt;/b&gt; accepts, saves and opens the next image with the same template of segments, model and prompt.&lt;/p&gt;</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>&lt;p&gt;SLM-SAM 2: Y. Chen et al., Accelerating Volumetric Medical Image Annotation via Short-Long Memory SAM 2, 2025. SAM 2: N. Ravi et al., SAM 2: Segment Anything in Images and Videos, 2024. MedSAM2: J. Ma et al., MedSAM2: Segment Anything in 3D Medical Images and Videos, 2025.&lt;/p&gt;&lt;p&gt;None of their code is contained; plain SAM 2 modules are installed from the Python package index.&lt;/p&gt;</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>A proposal that waits for review is accepted. Otherwise Next object leaves it waiting, and Next case asks for a decision.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Accept</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Accept sets Slicer's status of the segments to Completed. What is Completed keeps its voxels when another object is accepted beside it, but not when that lies within.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Accept what waits, save, and open the next image of the worklist with the same template, model and prompt (key X).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Accepted segments are Completed</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Address of the server: wss://HOST, or ssh://USER@HOST where you can log in by key. It is remembered on this computer and not saved with the scene.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Advanced</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>All slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>All visible segments with key slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Around the object: the network sees the object enlarged, which helps with small objects. Whole slice: as the models were published.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>As soon as a box has given an outline, carry it through the range; otherwise it waits to be used as key.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Ask the server whether it is there and lets you in. No image is sent.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Automatic chooses by device. Exact repeats the published computation in 32 bits; fast uses 16 bits where the hardware is quick at it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Box</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Carry the key slices through the range (key P). The result is a preview: the segment stays as it is until you accept.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Cases</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose what was learned as the model; others stay in the list.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Clear</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Click on the object; the model proposes the outline. One click is a guess at which object you mean: two or three more, on what is missing or does not belong, make it a good one. Mean Dice overlap with 'starter' or 'classical' on two sets of real organs: 0.77 and 0.71, with two more clicks 0.88 and 0.80.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Compute on:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Confirm this slice: no later run or correction changes it (key U).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Confirm what the segment holds on the slice in the view, also if that is nothing: no later run, correction or other segment changes it. Lock what is finished before you propagate again (key U).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Copy the proposed outline of this slice into the segment and correct it there with the Segment Editor (one undo step, key E). What you paint without it stays as well.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Correct</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Current</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Details</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Device:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Directions:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Discard</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Done</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Double-click a case to open it; the one before is saved.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Download and install what the networks need into this Slicer. Nothing is downloaded before you press this.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Draw a tight box around the object in a slice view; the model proposes the outline. For compact objects; paint what is thin, branching or in several parts. Mean Dice overlap of the outline with the model 'starter' or 'classical': 0.86 and 0.77 on two sets of real organs.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Draw the longest diameter of the object in a slice view, from edge to edge, as for RECIST; the model proposes the outline. For lesions and other compact objects.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Drop the result; what you painted yourself stays (key D).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Edit slice</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>End a direction when the object was absent on so many slices in a row: faster on long ranges, but an object that comes back is missed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Field of view:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Fine-tune the chosen model on the cases that are done, at least three (four in a project), in the background: you can go on meanwhile. The present model stays as it is.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>First slice:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>From ROI</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>From three key slices of a segment on: learn what propagation gets wrong on each of them when it starts from its neighbors, and put it right on all other slices, where that would have helped on key slices left out. Your own slices are never changed. In 127 trials on real volumes it was used 49 times: Dice overlap between .092 better and .017 worse. Takes one to five times as long as the run itself, also after each correction.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Go on with the next segment: of the template, an empty one, or a new one, with the same prompt ready (key O). What waits for the last one is accepted first, or kept, as set under Cases.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Go to the slice that is most worth correcting (key N).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Holds the segments. It may have another grid than the image; results are written to the right place.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>How many of the latest slices the short memory of an SLM-SAM 2 model holds.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Image and segments</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Image size:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Image:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Independent: up and down both start from the key slices alone, so the result does not depend on the order. Coupled: down still remembers the way up, as the published SLM-SAM 2 script does.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Install</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Intensity:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Key slice, first to last slice, and how sure it is. What is ticked becomes a key with its range; what is unsure wants a look first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Key slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Last slice:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learn from my slices</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Learn from these cases</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Leave open where the object begins and ends: the model decides, up to the ends of the volume.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Line</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Lock slice</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Look for every segment of the template; without a template, for every one that the finished cases have. Takes up to a minute for each finished case; nothing is written.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Mark the open case as done, also where nothing is to be found in it, or as in work again.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Model</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Name contains...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Names, colors and terminology that the segments of every case get, in this order.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Next case</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Next object</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Next object and Next case accept the proposal</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Next worth a look</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>No outline at all: cases that are finished are laid over this image, and suggest key slice, outline and range of every segment. For the same part of the body in the same modality.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Not the object</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>One bar per slice of the range. Height: the overlap with the true outline that is to be expected. Blue: key slice. Orange: worth a look, as less than 74 % is expected or the object ends abruptly. Green line: locked. Click to go to the slice.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open file...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open worklist</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open...</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Outline the object with the Segment Editor: the surest prompt, because the model starts from exactly what you drew. Volumes from a drawn outline had a mean overlap with the truth (Dice) of 0.83 and 0.79 (two sets of real organs), from a box 0.72 and 0.67.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Paint</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Place</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Place points on what does not belong to the object.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Place with the mouse in a slice view; right-click ends.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Points</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Precision:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Previous case</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Propagate</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Propagate all visible segments that have key slices in one pass, each over its own range: together they cost little more than one, and they cannot overlap. Otherwise only the segment that is selected in the Segment Editor below.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Propagate at once</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Remove what is placed, and the outline shown for it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Review</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Save</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Save after each Accept, and what is drawn:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Save this case and open the one before (key H).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Segment Editor</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Segment Propagate</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Segmentation</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Segmentation:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Server:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Short memory:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Show only the cases in this state.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Show only the cases whose name contains this.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Side of the square that the network sees. Larger shows finer detail and takes longer; most models are best at their own size.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Stop early:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Strokes and clicks on the proposal correct it at once</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Suggest</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Suggest all</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Take both ends from the extent of a region of interest in the scene.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Take the segments of a .seg.nrrd file, or of a JSON file with names, colors and codes, as template.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Take the slice shown in the view (key L).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Take the slice shown in the view (key S).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Take what the segment holds on the slice shown in the view above as an outline to propagate (key K). A second key slice further along improves long ranges.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Take your correction on this slice as a new key and compute again only what it changes (key C).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Template:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Test</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The first slice of the object: the model relies on it where one segment is chosen. Slices outside the range are never touched.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The last slice of the object: the model relies on it where one segment is chosen. Slices outside the range are never touched.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The outlines that are propagated. Double-click a row to go to the slice; the cross removes the key, not the outline.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The slice view you outline in. Its plane is the plane that the object is propagated along.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The volume to segment. It is never modified.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Token</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use a checkpoint file of your own: SLM-SAM 2, SAM 2, SAM 2.1, MedSAM2, or one you fine-tuned. It is read safely and checked before anything runs. The arrow lists recent files.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use as draft</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use current slice as key</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use the new model</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Use the segment as draft, where another tool has filled it: slices that agree with the image and their neighbors become keys, and Propagate redoes the others. Nothing is changed before Accept; a cross in the list takes a key back.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>View:</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Volume and slices of the selected segment.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>What carries the outline from slice to slice. Networks follow texture and shape; the classical propagator needs no installation.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>What is drawn is saved when you rest the mouse for some seconds, and so long after the first stroke at the latest.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>What the computing process printed; attach it when you report a problem.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>What the server's keeper gave you to be let in; SSH needs none. It is remembered in the settings of Slicer on this computer and not saved with the scene.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>What you paint or erase on the proposal, in any view, or a click with Points becomes a key, and the stretch that it changes is computed again. Cancel stops that; Undo takes the correction back. Otherwise strokes are kept and wait for Correct.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Where suggestions come from: the cases of the worklist that are done, or a folder of images with their segmentations, as fine-tuning reads them. One is enough, five are better.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Where the network runs. Automatic takes the graphics card when it has enough free memory, otherwise the CPU.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Where the next run computes. A server takes the image and the outlines over the network, in place of this computer.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Where the segmentations of the next worklist are saved: beside the images, as fine-tuning reads them, or together in a folder.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Which range of values the model sees as black to white, chosen once per volume. Automatic says what it chose. The display in the views does not matter.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Work through the images of a folder, of a CSV or JSON list, or of the scene. Work goes on where it stopped.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Write the result into the segment in one undo step, obeying the editor's masking and overwrite settings (key A).</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Write the segmentation of the open case now.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>after </source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>never</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>of the model</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>vtkMRMLLabelMapVolumeNode</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>vtkMRMLScalarVolumeNode</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>vtkMRMLSegmentationNode</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>within </source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>wss://HOST</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>SegmentPropagateSlicer.Logic</name>
        <message>
            <source>The proposal is gone with its image or segmentation; no segment was changed.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The suggestions are gone with their image; no segment was changed.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>SegmentPropagateSlicer.Prompting</name>
        <message>
            <source>A proposal waits for review: accept or discard it first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>A run is going on: cancel it first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Nothing of the outline on slice {index} could be written: other segments keep it on their key slices, are completed, or masking in the Segment Editor does not allow it.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Outlines are being written: wait a moment, or cancel.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Suggestions are being made: wait for them, or cancel.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Values.Amounts</name>
        <message>
            <source>{count} min</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{count} s</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{hours} h {minutes} min</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Values.Suggestion</name>
        <message>
            <source>a key now</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>keys now</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>open</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>sure</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>unsure</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: not here</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: slice {number} and {more} more, {first} to {last}, {state}</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>{name}: slice {number}, {first} to {last}, {state}</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Worklist.Casework</name>
        <message>
            <source>'{file}' cannot be loaded as a segmentation.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>'{file}' cannot be loaded as an image.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>'{file}' could not be saved: is the disk full?</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>'{file}' could not be saved: look into Slicer's log for the reason.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>'{file}' is another image than '{name}' of the scene: choose another folder for the results.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>'{file}' was changed by another program: it is kept, yours is saved as '{name}'.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Choose a folder, a list or the images of the scene as worklist first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Open a case of the worklist first.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>The scene has no image: load some, or choose a folder.</source>
            <translation type="unfinished" />
        </message>
        <message>
            <source>Two images of the scene are called '{name}': give them different names.</source>
            <translation type="unfinished" />
        </message>
    </context>
    <context>
        <name>Worklist.Segments</name>
        <message>
            <source>Segmentation</source>
            <translation type="unfinished" />
        </message>
    </context>
</TS>
